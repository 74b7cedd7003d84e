/**
 * The upload surfaces: every way a photo can reach a site, by the name used in messages and in the popup's list. The
 * comment behind each name says which files of page/surfaces/ guard it.
 */
export const UPLOAD_SURFACES = [
  'input', // file-input.ts, form-submit.ts
  'drop', // drag-and-drop.ts, file-system-entries.ts
  'paste', // paste.ts
  'clipboard', // clipboard-read.ts: navigator.clipboard.read()
  'handle', // file-handles.ts, post-message.ts
  'network', // fetch.ts, xhr.ts, send-beacon.ts: the safety net behind all others
] as const;

export type UploadSurface = (typeof UPLOAD_SURFACES)[number];

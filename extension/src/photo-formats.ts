/** File formats of photos: media type -> file extensions, the usual one first. The server decides what it accepts. */
export const PHOTO_FORMATS: Readonly<Record<string, readonly string[]>> = {
  'image/jpeg': ['jpg', 'jpeg', 'jfif', 'pjpeg'],
  'image/png': ['png'],
  'image/webp': ['webp'],
  'image/avif': ['avif'],
  'image/heic': ['heic', 'heif', 'hif'],
  'image/heif': ['heif', 'heic', 'hif'],
};

export const PHOTO_EXTENSIONS: readonly string[] = [...new Set(Object.values(PHOTO_FORMATS).flat())];

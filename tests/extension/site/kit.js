// Shared by all pages of the receiving site: addresses, and ways to send files.
const up = '{{up}}';
const near = '{{near}}';
const far = '{{far}}';
const inner = '{{inner}}'; // a small document with an input, for frames

const find = (selector) => document.querySelector(selector);

/** Posts files as multipart, with what the page sees of each. */
function post(files, name) {
  const form = new FormData();
  const seen = [...files].map((file) => ({ name: file.name, type: file.type, path: file.webkitRelativePath ?? '' }));
  form.append('seen', JSON.stringify(seen));
  for (const file of files) form.append('photos', file, ...(name ? [name] : []));
  return fetch(up, { method: 'POST', body: form });
}

/** Sends any other body. */
function send(body, type) {
  return fetch(up, { method: 'POST', body, headers: type ? { 'content-type': type } : {} });
}

/** A photo that came through no surface: not picked, drawn or served. */
const given = () =>
  new Blob([Uint8Array.from(atob('{{given}}'), (letter) => letter.charCodeAt(0))], { type: 'image/png' });

/** A photo that the site has served. */
const served = () => fetch('{{near}}/given/{{run}}').then((reply) => reply.blob());

/** Posts a file as JSON with a data: URL, as chat programs do. */
function asJson(file) {
  const reader = new FileReader();
  reader.onload = () => send(JSON.stringify({ name: file.name, photo: reader.result }), 'application/json');
  reader.readAsDataURL(file);
}

/** A detached file input. */
function loose(attributes = {}) {
  return Object.assign(document.createElement('input'), { type: 'file', ...attributes });
}

function inShadow(mode, parent = document.body) {
  const host = document.createElement('div');
  parent.append(host);
  const root = host.attachShadow({ mode });
  const input = loose({
    onchange: (event) => post(event.target.files),
    style: 'display: block; width: 100%; height: 3em',
  });
  root.append(input);
  return { host, root, input };
}

async function readEntries(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [{ file, path: entry.fullPath }];
  }
  const inside = await new Promise((done, failed) => entry.createReader().readEntries(done, failed));
  return (await Promise.all(inside.map(readEntries))).flat();
}

// What every page of the receiving site has: where to send, and the ways in which pages send.
const up = '{{up}}';
const near = '{{near}}';
const far = '{{far}}';
const inner = '{{inner}}'; // a small document with an input, for frames

const find = (selector) => document.querySelector(selector);

/** A multipart post, with what the page itself saw of each file. */
function post(files, name) {
  const form = new FormData();
  const seen = [...files].map((file) => ({ name: file.name, type: file.type, path: file.webkitRelativePath ?? '' }));
  form.append('seen', JSON.stringify(seen));
  for (const file of files) form.append('photos', file, ...(name ? [name] : []));
  return fetch(up, { method: 'POST', body: form });
}

/** Anything else, as it is. */
function send(body, type) {
  return fetch(up, { method: 'POST', body, headers: type ? { 'content-type': type } : {} });
}

/** A photo that nobody saw coming: not picked, not drawn, not served as a photo. */
const given = () =>
  new Blob([Uint8Array.from(atob('{{given}}'), (letter) => letter.charCodeAt(0))], { type: 'image/png' });

/** One that the site itself has served. */
const served = () => fetch('{{near}}/given/{{run}}').then((reply) => reply.blob());

/** As chat programs do it: read as data: URL, posted as JSON. */
function asJson(file) {
  const reader = new FileReader();
  reader.onload = () => send(JSON.stringify({ name: file.name, photo: reader.result }), 'application/json');
  reader.readAsDataURL(file);
}

/** An input that is in no document. */
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

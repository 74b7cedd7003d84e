"""Drag and drop, paste, clipboard, handles, workers and content security policies."""

from __future__ import annotations

from .surfaces_base import STRICT, Surface, form
from .user_actions import copy_then_press, drop, paste, press

FIELD = "<div id=drop>Drop photos here</div>"
ON_DROP = "find('#drop').ondragover = (e) => e.preventDefault(); find('#drop').ondrop = async (e) => { e.preventDefault(); %s };"
TWO = ("b.png", "a.jpg")
ALBUM = ("album/one.png", "album/deep/two.png")
DROPS = [
    Surface("drop-files", FIELD, ON_DROP % "post(e.dataTransfer.files)", drop(), TWO),
    Surface(
        "drop-items", FIELD, ON_DROP % "post([...e.dataTransfer.items].map((item) => item.getAsFile()))", drop(), TWO
    ),
    Surface(
        "drop-for-of",
        FIELD,
        ON_DROP
        % "const all = []; for (const item of e.dataTransfer.items) if (item.kind === 'file') all.push(item.getAsFile()); post(all)",
        drop(),
        TWO,
    ),
    Surface(
        "drop-entries",
        FIELD,
        ON_DROP % "const entries = [...e.dataTransfer.items].map((item) => item.webkitGetAsEntry());"
        "post((await Promise.all(entries.map(readEntries))).flat().map(({ file }) => file))",
        drop(),
        TWO,
    ),
    Surface(
        "drop-handles",
        FIELD,
        ON_DROP
        % "const handles = await Promise.all([...e.dataTransfer.items].map((item) => item.getAsFileSystemHandle()));"
        "post(await Promise.all(handles.map((handle) => handle.getFile())))",
        drop(),
        TWO,
    ),
    Surface(
        "drop-folder-entries",
        FIELD,
        ON_DROP
        % "const all = await readEntries(e.dataTransfer.items[0].webkitGetAsEntry()); post(all.map(({ file }) => file))",
        drop(),
        ALBUM,
        order=False,
    ),
    Surface(
        "drop-folder-handles",
        FIELD,
        ON_DROP
        % """
            const files = [];
            const walk = async (folder) => {
                for await (const each of folder.values()) {
                    if (each.kind === 'file') files.push(await each.getFile()); else await walk(each);
                }
            };
            await walk(await e.dataTransfer.items[0].getAsFileSystemHandle());
            post(files)""",
        drop(),
        ALBUM,
        order=False,
    ),
    Surface("drop-mixed", FIELD, ON_DROP % "post(e.dataTransfer.files)", drop(), ("note.txt", "a.png")),
    Surface("drop-on-input", script="find('#pick').onchange = (e) => post(e.target.files)", act=drop("#pick")),
    Surface(
        "drop-capture-window",
        FIELD,
        "addEventListener('dragover', (e) => e.preventDefault(), true);"
        "addEventListener('drop', (e) => { e.preventDefault(); post(e.dataTransfer.files); }, true)",
        drop(),
    ),
    Surface("drop-trusted-only", FIELD, ON_DROP % "if (e.isTrusted) post(e.dataTransfer.files)", drop()),
    Surface(
        "drop-in-shadow",
        "",
        "const { host, root, input } = inShadow('closed'); host.id = 'drop'; input.remove();"
        "const zone = document.createElement('p'); zone.textContent = 'Drop here'; zone.style = 'margin: 0; height: 3em'; root.append(zone);"
        "zone.ondragover = (e) => e.preventDefault();"
        "zone.ondrop = (e) => { e.preventDefault(); post(e.dataTransfer.files); };",
        drop(),
    ),
    Surface(
        "drop-to-input-files",
        FIELD + form(),
        ON_DROP % "find('#pick').files = e.dataTransfer.files; find('form').submit()",
        drop(),
    ),
]

BOX = "<div id=paste contenteditable>Write here </div>"
CLIP = ("image.png",)
PASTES = [
    Surface("paste-files", BOX, "find('#paste').onpaste = (e) => post(e.clipboardData.files)", paste(), CLIP),
    Surface(
        "paste-items",
        BOX,
        "find('#paste').onpaste = (e) => post([...e.clipboardData.items].filter((i) => i.kind === 'file').map((i) => i.getAsFile()))",
        paste(),
        CLIP,
    ),
    Surface(
        "paste-document",
        BOX,
        "document.addEventListener('paste', (e) => post(e.clipboardData.files), true)",
        paste(),
        CLIP,
    ),
    Surface(
        "paste-trusted-only",
        BOX,
        "addEventListener('paste', (e) => { if (e.isTrusted) post(e.clipboardData.files); })",
        paste(),
        CLIP,
    ),
    Surface(
        "paste-contenteditable",
        BOX,
        """new MutationObserver(async (_, observer) => {
            const image = find('#paste img');
            if (!image) return;
            observer.disconnect();
            send(await (await fetch(image.src)).blob(), 'image/png');
        }).observe(find('#paste'), { childList: true, subtree: true });""",
        paste(),
        CLIP,
        named=False,
    ),
    Surface(
        "clipboard-read",
        "<button id=go></button>",
        """find('#go').onclick = async () => {
            const [item] = await navigator.clipboard.read();
            send(await item.getType('image/png'), 'image/png');
        };""",
        copy_then_press,
        CLIP,
        named=False,
    ),
]

WORKER = "data:text/javascript,onmessage=({data:[up,file]})=>fetch(up,{method:'POST',body:file})"
OTHERS = [
    Surface(
        "worker",
        script=f"""
        const worker = new Worker("{WORKER}");
        find('#pick').onchange = (e) => worker.postMessage([up, e.target.files[0]]);""",
        named=False,
    ),
    Surface(
        "sliced",
        script="""
            find('#pick').onchange = async (e) => {
                const file = e.target.files[0];
                for (let start = 0, piece = 0; start < file.size; start += 2048, piece++) {
                    const headers = { 'x-piece': piece, 'x-size': file.size };
                    await fetch(up, { method: 'PUT', headers, body: file.slice(start, start + 2048) });
                }
            };""",
        named=False,
    ),
    Surface(
        "stored-in-opfs",
        script="""
            find('#pick').onchange = async (e) => {
                const folder = await navigator.storage.getDirectory();
                const handle = await folder.getFileHandle('face.png', { create: true });
                const target = await handle.createWritable();
                await target.write(e.target.files[0]);
                await target.close();
                post([await handle.getFile()]);
            };""",
    ),
    Surface(
        "handle-of-opfs",
        "<button id=go></button>",
        """find('#go').onclick = async () => {
            const folder = await navigator.storage.getDirectory();
            const handle = await folder.getFileHandle('face.png', { create: true });
            const target = await handle.createWritable();
            await target.write(given());
            await target.close();
            post([await handle.getFile()]);
        };""",
        press(),
        given=True,
    ),
    Surface(
        "csp-strict",
        script="find('#pick').onchange = (e) => post(e.target.files)",
        headers={"content-security-policy": STRICT},
    ),
    Surface(
        "csp-sandbox",
        script="find('#pick').onchange = (e) => post(e.target.files)",
        headers={"content-security-policy": "sandbox allow-scripts allow-forms"},
    ),
    Surface(
        "trusted-types",
        script="find('#pick').onchange = (e) => post(e.target.files)",
        headers={"content-security-policy": "require-trusted-types-for 'script'; trusted-types 'none'"},
    ),
    Surface(
        "csp-drop", FIELD, ON_DROP % "post(e.dataTransfer.files)", drop(), headers={"content-security-policy": STRICT}
    ),
]

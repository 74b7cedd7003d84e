"""Upload surfaces: every way in which a site takes a photo, as small pages with a user action each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .upload_fixtures import UploadFile
from .upload_receiver import Page
from .user_actions import Action, User, copy_then_press, drop, paste, pick, pick_then_press, press

PHOTO = ("face.png",)
INPUT = "<input id=pick type=file>"
STRICT = "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'"


@dataclass(frozen=True)
class Surface:
    """One upload surface.

    Attributes:
        act: what the user does.
        paths: paths of the files; the extensions determine their content.
        named: whether names and types travel with the files.
        order: whether the site gets the files in order.
        relative: whether the page sees paths in the folder.
        given: whether the photo comes from the site, not from the user.
    """

    id: str
    body: str = INPUT
    script: str = ""
    act: Action = field(default_factory=pick)
    paths: tuple[str, ...] = PHOTO
    named: bool = True
    order: bool = True
    relative: bool = False
    given: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def page(self) -> Page:
        return Page(self.body, self.script, self.headers)


def form(attributes: str = "", inside: str = "", input: str = "") -> str:
    return (
        f"<form action={{{{up}}}} method=post enctype=multipart/form-data {attributes}>"
        f"<input id=pick type=file name=photos {input}>{inside}</form>"
    )


def twice(user: User, files: list[UploadFile]) -> None:
    pick()(user, files[:1])
    user.wait_until("document.title === 'again'")
    pick()(user, files[1:])


def pick_wait_press(user: User, files: list[UploadFile]) -> None:
    pick()(user, files)
    user.wait_until("find('#pick').files.length")
    user.press("#go")


INPUTS = [
    Surface("input-change", script="find('#pick').addEventListener('change', (e) => post(e.target.files))"),
    Surface("input-input", script="find('#pick').addEventListener('input', (e) => post(e.target.files))"),
    Surface("input-property", script="find('#pick').onchange = () => post(find('#pick').files)"),
    Surface("input-attribute", "<input id=pick type=file onchange='post(this.files)'>"),
    Surface(
        "input-object", script="find('#pick').addEventListener('change', { handleEvent: (e) => post(e.target.files) })"
    ),
    Surface(
        "input-once", script="find('#pick').addEventListener('change', (e) => post(e.target.files), { once: true })"
    ),
    Surface("input-bubbling", script="document.body.addEventListener('change', (e) => post(e.target.files))"),
    Surface("input-capture-window", script="addEventListener('change', (e) => post(e.target.files), true)"),
    Surface(
        "input-capture-document",
        script="document.addEventListener('input', (e) => post(e.target.files), { capture: true })",
    ),
    Surface(
        "input-capture-before-parsing",
        "<script>addEventListener('change', (e) => post(e.target.files), true)</script>" + INPUT,
    ),
    Surface(
        "input-polling",
        script="""
            const timer = setInterval(() => {
                if (find('#pick').files.length) { clearInterval(timer); post(find('#pick').files); }
            }, 5);""",
    ),
    Surface(
        "input-read-later",
        INPUT + "<button id=go></button>",
        "find('#go').onclick = () => post(find('#pick').files)",
        act=pick_wait_press,
    ),
    Surface(
        "input-trusted-only",
        script="find('#pick').addEventListener('change', (e) => { if (e.isTrusted) post(e.target.files); })",
    ),
    Surface(
        "input-emptied-by-page",
        script="find('#pick').onchange = (e) => { const files = [...e.target.files]; e.target.value = ''; post(files); }",
    ),
    Surface(
        "input-in-modal",
        f"<dialog>{INPUT}</dialog>",
        "find('dialog').showModal(); find('#pick').onchange = (e) => post(e.target.files)",
    ),
    Surface(
        "input-label",
        "<label for=pick><div id=go>Photo</div></label><input hidden id=pick type=file>",
        "find('#pick').onchange = (e) => post(e.target.files)",
        act=pick("#go"),
    ),
    Surface(
        "input-hidden-clicked",
        "<button id=go></button><input id=pick type=file style='display:none'>",
        "find('#go').onclick = () => find('#pick').click(); find('#pick').onchange = (e) => post(e.target.files)",
        act=pick("#go"),
    ),
    Surface("input-jpeg", script="find('#pick').onchange = (e) => post(e.target.files)", paths=("face.jpg",)),
    Surface("input-webp", script="find('#pick').onchange = (e) => post(e.target.files)", paths=("face.webp",)),
    Surface("input-avif", script="find('#pick').onchange = (e) => post(e.target.files)", paths=("face.avif",)),
    Surface(
        "input-multiple",
        "<input id=pick type=file multiple>",
        "find('#pick').onchange = (e) => post(e.target.files)",
        paths=("b.png", "a.png", "c.jpg"),
    ),
    Surface(
        "input-mixed",
        "<input id=pick type=file multiple>",
        "find('#pick').onchange = (e) => post(e.target.files)",
        paths=("a.png", "note.txt", "b.png", "drawing.svg"),
    ),
    Surface(
        "input-folder",
        "<input id=pick type=file webkitdirectory>",
        "find('#pick').onchange = (e) => post(e.target.files)",
        paths=("album/one.png", "album/deep/two.png", "album/note.txt"),
        order=False,
        relative=True,
    ),
    Surface(
        "input-twice",
        script="""
            find('#pick').onchange = async (e) => { await post(e.target.files); document.title = 'again'; }""",
        paths=("one.png", "two.png"),
        act=twice,
    ),  # type: ignore[arg-type]  # see there
    Surface(
        "input-formdata",
        form(),
        "find('#pick').onchange = () => fetch(up, { method: 'POST', body: new FormData(find('form')) })",
    ),
    Surface("input-renamed", script="find('#pick').onchange = (e) => post(e.target.files, 'face.png')"),
    Surface(
        "input-canvas",
        script="""
            find('#pick').onchange = async (e) => {
                const photo = await createImageBitmap(e.target.files[0]);
                const canvas = Object.assign(document.createElement('canvas'), { width: photo.width, height: photo.height });
                canvas.getContext('2d').drawImage(photo, 0, 0);
                canvas.toBlob((blob) => send(blob, 'image/png'));
            };""",
        named=False,
    ),
    Surface("input-json", script="find('#pick').onchange = (e) => asJson(e.target.files[0])", named=False),
    Surface(
        "input-array-buffer",
        script="find('#pick').onchange = async (e) => send(await e.target.files[0].arrayBuffer())",
        named=False,
    ),
    Surface(
        "input-object-url",
        script="""
            find('#pick').onchange = async (e) => {
                const url = URL.createObjectURL(e.target.files[0]);
                send(await (await fetch(url)).blob());
            };""",
        named=False,
    ),
    Surface(
        "input-stream",
        script="""
            find('#pick').onchange = async (e) => send(await new Response(e.target.files[0].stream()).blob(), 'image/png');""",
        named=False,
    ),
]

FORMS = [
    Surface("form-submit-in-handler", form(input="onchange='this.form.submit()'")),
    Surface("form-request-submit", form(input="onchange='this.form.requestSubmit()'")),
    Surface(
        "form-button-in-handler",
        form(inside="<button id=go></button>", input="onchange='this.form.elements[1].click()'"),
    ),
    Surface("form-pressed-while-held", form(inside="<button id=go></button>"), act=pick_then_press),
    Surface(
        "form-required-pressed-while-held",
        form(inside="<button id=go></button>", input="required"),
        act=pick_then_press,
    ),
    Surface(
        "form-in-hidden-frame",
        form("target=hidden", input="onchange='this.form.submit()'") + "<iframe name=hidden></iframe>",
    ),
    Surface(
        "form-multiple", form(input="multiple onchange='this.form.submit()'"), paths=("b.png", "a.png", "note.txt")
    ),
]

POST_ON_CHANGE = "{ onchange: (e) => post(e.target.files) }"
DETACHED = [
    Surface(
        "detached-click",
        "<button id=go></button>",
        f"find('#go').onclick = () => loose({POST_ON_CHANGE}).click()",
        act=pick("#go"),
    ),
    Surface(
        "detached-listener",
        "<button id=go></button>",
        """find('#go').onclick = () => {
            const input = loose();
            input.addEventListener('change', (e) => post(input.files));
            input.click();
        };""",
        act=pick("#go"),
    ),
    Surface(
        "detached-show-picker",
        "<button id=go></button>",
        f"find('#go').onclick = () => loose({POST_ON_CHANGE}).showPicker()",
        act=pick("#go"),
    ),
    Surface(
        "detached-dispatched",
        "<button id=go></button>",
        f"find('#go').onclick = () => loose({POST_ON_CHANGE}).dispatchEvent(new MouseEvent('click'))",
        act=pick("#go"),
    ),
    Surface(
        "detached-in-fragment",
        "<button id=go></button>",
        f"""find('#go').onclick = () => {{
            const input = loose({POST_ON_CHANGE});
            new DocumentFragment().append(input);
            input.click();
        }};""",
        act=pick("#go"),
    ),
    Surface(
        "detached-after-click",
        "<button id=go></button>",
        f"""find('#go').onclick = () => {{
            const input = loose({POST_ON_CHANGE});
            document.body.append(input);
            input.click();
            input.remove();
        }};""",
        act=pick("#go"),
    ),
    Surface(
        "detached-polled",
        "<button id=go></button>",
        """find('#go').onclick = () => {
            const input = loose();
            input.click();
            const timer = setInterval(() => { if (input.files.length) { clearInterval(timer); post(input.files); } }, 5);
        };""",
        act=pick("#go"),
    ),
    Surface(
        "detached-parsed",
        "<button id=go></button>",
        """find('#go').onclick = () => {
            const box = document.createElement('div');
            box.innerHTML = '<input type=file onchange="post(this.files)">';
            box.firstChild.click();
        };""",
        act=pick("#go"),
    ),
]


def declared(mode: str) -> str:
    inside = "<input style='width:100%;height:3em' type=file onchange='post(this.files)'>"
    return f"<div id=host><template shadowrootmode={mode}>{inside}</template></div>"


SHADOW = [
    Surface("shadow-open", "", "inShadow('open').host.id = 'pick'"),
    Surface("shadow-closed", "", "inShadow('closed').host.id = 'pick'"),
    Surface(
        "shadow-nested",
        "",
        "const outer = inShadow('open'); outer.input.remove(); outer.host.id = 'pick'; inShadow('open', outer.root)",
        act=pick("#pick"),
    ),
    Surface(
        "shadow-nested-closed",
        "",
        "const outer = inShadow('closed'); outer.input.remove(); outer.host.id = 'pick'; inShadow('closed', outer.root)",
    ),
    Surface("shadow-declared-open", declared("open"), act=pick("#host")),
    Surface("shadow-declared-closed", declared("closed"), act=pick("#host")),
    Surface(
        "shadow-custom-element",
        "<photo-field id=pick></photo-field>",
        """customElements.define('photo-field', class extends HTMLElement {
            constructor() {
                super();
                const input = loose({ style: 'display: block; height: 3em' });
                input.addEventListener('change', (e) => { e.stopPropagation(); post(input.files); });
                this.attachShadow({ mode: 'closed' }).append(input);
            }
        });""",
    ),
    Surface(
        "shadow-composed-listener",
        "",
        "const { host, root, input } = inShadow('open'); host.id = 'pick'; input.onchange = null;"
        "root.addEventListener('input', (e) => post(e.target.files), true)",
    ),
]

FRAMED = pick("#pick", "iframe")
FRAMES = [
    Surface("frame-same-origin", "<iframe src={{near}}/inner/{{run}}></iframe>", act=FRAMED),
    Surface("frame-cross-origin", "<iframe src={{far}}/inner/{{run}}></iframe>", act=FRAMED),
    Surface(
        "frame-sandboxed",
        "<iframe sandbox='allow-scripts allow-forms' src={{near}}/inner/{{run}}></iframe>",
        act=FRAMED,
    ),
    Surface("frame-srcdoc", "<iframe></iframe>", "find('iframe').srcdoc = inner", act=FRAMED),
    Surface(
        "frame-sandboxed-srcdoc",
        "<iframe sandbox='allow-scripts'></iframe>",
        "find('iframe').srcdoc = inner",
        act=FRAMED,
    ),
    Surface(
        "frame-about-blank",
        "<iframe></iframe>",
        "const input = loose({ id: 'pick' }); find('iframe').contentDocument.body.append(input);"
        "input.onchange = () => post(input.files)",
        act=FRAMED,
    ),
    Surface(
        "frame-about-blank-made-late",
        "",
        "const frame = document.createElement('iframe'); document.body.append(frame);"
        "const input = frame.contentDocument.createElement('input'); input.type = 'file'; input.id = 'pick';"
        "frame.contentDocument.body.append(input); input.onchange = () => post(input.files)",
        act=FRAMED,
    ),
    Surface(
        "frame-blob",
        "<iframe></iframe>",
        "find('iframe').src = URL.createObjectURL(new Blob([inner], { type: 'text/html' }))",
        act=FRAMED,
    ),
    Surface(
        "frame-data",
        "<iframe></iframe>",
        "find('iframe').src = 'data:text/html,' + encodeURIComponent(inner)",
        act=FRAMED,
    ),
    Surface(
        "frame-written",
        "<iframe></iframe>",
        "const written = find('iframe').contentDocument; written.open(); written.write(inner); written.close()",
        act=FRAMED,
    ),
    Surface(
        "frame-nested",
        "<iframe id=outer></iframe>",
        "find('iframe').srcdoc = '<iframe id=deep src={{far}}/inner/{{run}}></iframe>'",
        act=pick("#pick", "#outer", "#deep"),
    ),
    Surface(
        "frame-borrowed-click",
        "<iframe></iframe><button id=go></button>",
        f"""const borrowed = find('iframe').contentWindow.HTMLInputElement.prototype.click;
        find('#go').onclick = () => borrowed.call(loose({POST_ON_CHANGE}))""",
        act=pick("#go"),
    ),
    Surface(
        "frame-borrowed-listener",
        "<iframe></iframe><button id=go></button>",
        """const borrowed = find('iframe').contentWindow.EventTarget.prototype.addEventListener;
        find('#go').onclick = () => {
            const input = loose();
            borrowed.call(input, 'change', () => post(input.files));
            input.click();
        };""",
        act=pick("#go"),
    ),
    Surface(
        "document-written",
        "<button id=go></button>",
        """find('#go').onclick = () => {
            document.open();
            document.write(inner);
            document.close();
        };""",
        act=lambda user, files: (user.press("#go"), pick()(user, files)),
    ),
]

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

GO = "<button id=go></button>"


def network(name: str, how: str, named: bool = False, body: str = GO) -> Surface:
    script = f"find('#go').onclick = async () => {{ const photo = given(); {how} }};"
    return Surface(f"network-{name}", body, script, press(), named=named, given=True)


FORM_DATA = "const form = new FormData(); form.append('photos', photo, 'face.png');"
NETWORK = [
    network("fetch-blob", "fetch(up, { method: 'POST', body: photo });"),
    network("fetch-buffer", "fetch(up, { method: 'POST', body: await photo.arrayBuffer() });"),
    network("fetch-bytes", "fetch(up, { method: 'POST', body: new Uint8Array(await photo.arrayBuffer()) });"),
    network("fetch-form", FORM_DATA + "fetch(up, { method: 'POST', body: form });", True),
    network("request-blob", "fetch(new Request(up, { method: 'POST', body: photo }));"),
    network("request-form", FORM_DATA + "fetch(new Request(up, { method: 'POST', body: form }));", True),
    network("xhr-blob", "const sent = new XMLHttpRequest(); sent.open('POST', up); sent.send(photo);"),
    network(
        "xhr-buffer", "const sent = new XMLHttpRequest(); sent.open('POST', up); sent.send(await photo.arrayBuffer());"
    ),
    network("xhr-form", FORM_DATA + "const sent = new XMLHttpRequest(); sent.open('POST', up); sent.send(form);", True),
    network("beacon-blob", "navigator.sendBeacon(up, photo);"),
    network("beacon-form", FORM_DATA + "navigator.sendBeacon(up, form);", True),
    network(
        "frames-fetch",
        "find('iframe').contentWindow.fetch(up, { method: 'POST', body: photo });",
        body=GO + "<iframe></iframe>",
    ),
]


def framework(
    name: str, act: Action, paths: tuple[str, ...] = ("b.png", "a.png"), body: str = "<div id=app></div>"
) -> Surface:
    bundle = name.removesuffix("-drop")
    return Surface(name, f"{body}<script src=/bundle/{bundle}></script>", act=act, paths=paths, order=False)


FRAMEWORKS = [
    framework("react", pick()),
    framework("vue", pick()),
    framework("dropzone", pick("#app")),
    framework("dropzone-drop", drop("#app")),
    framework("filepond", pick(".filepond--label-action"), body="<input id=app type=file>"),
    framework("filepond-drop", drop(".filepond--root"), body="<input id=app type=file>"),
    framework("uppy-xhr", pick(".uppy-DragDrop-container")),
    framework("uppy-xhr-drop", drop(".uppy-DragDrop-container")),
    framework("uppy-tus", pick(".uppy-DragDrop-container")),
    framework("uppy-tus-drop", drop(".uppy-DragDrop-container")),
]
BUNDLES = ["react", "vue", "dropzone", "filepond", "uppy-xhr", "uppy-tus"]

SURFACES = [*INPUTS, *FORMS, *DETACHED, *SHADOW, *FRAMES, *DROPS, *PASTES, *OTHERS, *NETWORK, *FRAMEWORKS]
assert len({surface.id for surface in SURFACES}) == len(SURFACES)

"""File inputs, forms, detached inputs, shadow roots and frames."""

from __future__ import annotations

from .surfaces_base import INPUT, Surface, form
from .upload_fixtures import UploadFile
from .user_actions import User, pick, pick_then_press


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
    ),
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

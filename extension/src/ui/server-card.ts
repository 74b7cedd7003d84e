/** The paired server: how it stands, pairing in one step, unpairing. */
import { ask } from '../ask';
import type { ServerState } from '../messages';
import { el, freshId } from './dom';
import { linkFrom } from './link';
import { problemHelp, problemTitle } from './problems';
import { text } from './text';

const NEARBY = 'http://127.0.0.1:8765';

/** `changed`: after pairing and unpairing, and once at first. */
export async function serverCard(changed: (state: ServerState) => void): Promise<HTMLElement> {
  const card = el('div', { className: 'stack' });
  const draw = (state: ServerState): void => {
    card.replaceChildren(state.paired ? paired(state, draw) : pairing(state.address || NEARBY, draw));
    changed(state);
  };
  const reply = await ask('server', {});
  if (reply.ok) draw(reply.value);
  else card.append(el('p', { className: 'notice bad', role: 'alert' }, problemHelp(reply.problem).join(' ')));
  return card;
}

/** "Ready on CPU" or what is wrong; with a dot that is not the only sign. */
export function serverLine({ problem, provider }: ServerState): HTMLElement {
  const words = problem === null ? text('server_ready', provider.split(' ')[0] ?? '') : problemTitle(problem);
  return el('p', { className: problem === null ? 'server good' : 'server bad' }, words);
}

function paired(state: ServerState, draw: (state: ServerState) => void): HTMLElement {
  const again = el('button', { type: 'button', onclick: async () => refresh(draw) }, text('server_check'));
  const unpair = el(
    'button',
    {
      type: 'button',
      onclick: async () => {
        const reply = await ask('pair', null);
        if (reply.ok) draw(reply.value);
      },
    },
    text('unpair'),
  );
  const help = state.problem === null ? [] : problemHelp(state.problem);
  return el(
    'div',
    { className: 'stack' },
    el('div', { role: 'status' }, serverLine(state), el('p', { className: 'quiet' }, state.address)),
    help.length > 0 && el('p', { className: 'notice' }, help.join(' ')),
    el('div', { className: 'buttons' }, again, unpair),
    el('p', { className: 'quiet' }, text('unpair_hint')),
  );
}

async function refresh(draw: (state: ServerState) => void): Promise<void> {
  const reply = await ask('server', {});
  if (reply.ok) draw(reply.value);
}

function pairing(known: string, draw: (state: ServerState) => void): HTMLElement {
  const [addressId, codeId, hintId, problemId] = [freshId(), freshId(), freshId(), freshId()];
  const address = el('input', { id: addressId, value: known, required: true, spellcheck: false, autocomplete: 'off' });
  const code = el('input', {
    id: codeId,
    className: 'code',
    required: true,
    placeholder: 'XXXX-XXXX',
    spellcheck: false,
    autocomplete: 'off',
    autocapitalize: 'characters',
    'aria-describedby': `${hintId} ${problemId}`,
  });
  const problem = el('p', { id: problemId, className: 'notice bad', role: 'alert' });
  const button = el('button', { className: 'main' }, text('pair'));
  for (const field of [address, code]) {
    field.addEventListener('input', () => {
      const link = linkFrom(field.value);
      if (link !== null) [address.value, code.value] = [link.address, link.code];
    });
  }
  const form = el(
    'form',
    { className: 'stack' },
    el(
      'div',
      { className: 'fields' },
      el('div', { className: 'field' }, el('label', { htmlFor: addressId }, text('server_address')), address),
      el('div', { className: 'field' }, el('label', { htmlFor: codeId }, text('pairing_code')), code),
    ),
    el('p', { id: hintId, className: 'quiet' }, text('pairing_hint')),
    problem,
    el('div', { className: 'buttons' }, button),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void send();
  });
  const send = async (): Promise<void> => {
    button.disabled = true;
    problem.textContent = '';
    const reply = await ask('pair', { address: address.value, code: code.value });
    button.disabled = false;
    if (reply.ok) {
      draw(reply.value);
      return;
    }
    problem.textContent = `${problemTitle(reply.problem)}. ${reply.problem.detail}`;
    if (reply.problem.code === 'refused' || reply.problem.code === 'unauthorised') {
      problem.textContent = reply.problem.detail; // of the code or the address: the server says it best
    }
    code.focus();
  };
  return form;
}

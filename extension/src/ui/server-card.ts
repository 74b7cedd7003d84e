/** State of the paired server, with pairing and unpairing. */
import type { ServerState } from '../messages';
import { sendRequest } from '../send-request';
import { el, uniqueId } from './dom';
import { text } from './i18n';
import { parsePairingLink } from './pairing-link';
import { problemHelp, problemTitle } from './problem-text';

/** `changed` is called at first, and after pairing and unpairing. */
export async function serverCard(changed: (state: ServerState) => void): Promise<HTMLElement> {
  const card = el('div', { className: 'stack' });
  const draw = (state: ServerState): void => {
    card.replaceChildren(state.paired ? pairedView(state, draw) : pairingForm(state.address, draw));
    changed(state);
  };
  const reply = await sendRequest('server', {});
  if (reply.ok) draw(reply.value);
  else card.append(el('p', { className: 'notice bad', role: 'alert' }, problemHelp(reply.problem).join(' ')));
  return card;
}

/** "Your server is ready (CPU)", or the problem. */
export function serverLine({ problem, provider }: ServerState): HTMLElement {
  const words = problem === null ? text('server_ready', provider.split(' ')[0] ?? '') : problemTitle(problem);
  return el('p', { className: problem === null ? 'server good' : 'server bad' }, words);
}

function pairedView(state: ServerState, draw: (state: ServerState) => void): HTMLElement {
  const again = el('button', { type: 'button', onclick: async () => refresh(draw) }, text('server_check'));
  const unpair = el(
    'button',
    {
      type: 'button',
      onclick: async () => {
        const reply = await sendRequest('pair', null);
        if (reply.ok) draw(reply.value);
      },
    },
    text('unpair'),
  );
  const help = state.problem === null ? [] : problemHelp(state.problem);
  return el(
    'div',
    { className: 'stack' },
    el('div', { role: 'status' }, serverLine(state), el('p', { className: 'secondary' }, state.address)),
    help.length > 0 && el('p', { className: 'notice' }, help.join(' ')),
    el('div', { className: 'buttons' }, again, unpair),
    el('p', { className: 'secondary' }, text('unpair_hint')),
  );
}

async function refresh(draw: (state: ServerState) => void): Promise<void> {
  const reply = await sendRequest('server', {});
  if (reply.ok) draw(reply.value);
}

function pairingForm(known: string, draw: (state: ServerState) => void): HTMLElement {
  const [addressId, codeId, hintId, problemId] = [uniqueId(), uniqueId(), uniqueId(), uniqueId()];
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
      const link = parsePairingLink(field.value);
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
    el('p', { id: hintId, className: 'secondary' }, text('pairing_hint')),
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
    const reply = await sendRequest('pair', { address: address.value, code: code.value });
    button.disabled = false;
    if (reply.ok) {
      draw(reply.value);
      return;
    }
    problem.textContent = `${problemTitle(reply.problem)}. ${reply.problem.detail}`;
    if (reply.problem.code === 'refused' || reply.problem.code === 'unauthorised') {
      problem.textContent = reply.problem.detail; // about the code or the address: the server's sentence says enough
    }
    code.focus();
  };
  return form;
}

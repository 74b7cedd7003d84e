/** Parser for the server-sent events of a job. */
import { JOB_EVENTS, type JobEvent } from '../messages';
import { isRecord } from '../validators';

export class JobEventParser {
  private rest = '';

  /** Adds text and returns the events that are complete. */
  push(chunk: string): JobEvent[] {
    const blocks = (this.rest + chunk.replaceAll('\r', '')).split('\n\n');
    this.rest = blocks.pop() ?? '';
    return blocks.map(parseEvent).filter((event) => event !== null);
  }
}

/** Whether the event is the last of its job. */
export function isFinal(event: JobEvent): boolean {
  return event.event === 'done' || event.event === 'failed' || event.event === 'cancelled';
}

function parseEvent(block: string): JobEvent | null {
  const fields = new Map(
    block.split('\n').map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
    }),
  );
  const id = Number(fields.get('id'));
  const event = fields.get('event') ?? '';
  if (!Number.isSafeInteger(id) || !(JOB_EVENTS as readonly string[]).includes(event)) return null;
  try {
    const data: unknown = JSON.parse(fields.get('data') ?? '{}');
    return isRecord(data) ? { id, event: event as JobEvent['event'], data } : null;
  } catch {
    return null;
  }
}

/** For tests: an HTTP server with the paths of the real API and answers that a test can replace. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Receipt } from '../receipt';

export const TOKEN = 'a-token-of-more-than-twenty-characters';
export const CODE = 'ABCD-EFGH';
/** Idempotency key. */
export const KEY = '0123456789abcdef0123456789abcdef';

/** Shortest bytes that are detected as JPEG. */
export const JPEG = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 1, 2, 3);
export const PROTECTED = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 9, 9, 9);

export const RECEIPT: Receipt = {
  recipe: 'balanced',
  preset: 'any',
  budgetAsked: 8,
  budgetSpent: 8,
  steps: 2,
  stepsAsked: 2,
  stopped: 'steps',
  imperceptibility: { psnr: 34, ssim: 0.95, de2000Mean: 1, de2000P95: 3, relief: 1.1, meanLevels: 2, maxLevels: 8 },
  effects: [],
  beatsRandom: 12,
  checks: 14,
  survival: [],
  encoding: null,
  notes: [],
  seconds: {},
};

interface SeenRequest {
  method: string;
  path: string;
  query: string;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

type Handler = (seen: SeenRequest, response: ServerResponse) => void;

export class FakeServer {
  readonly seen: SeenRequest[] = [];
  /** "METHOD /path" -> handler that replaces the default answer. */
  readonly handlers = new Map<string, Handler>();
  private count = 0;
  private http: Server | null = null;

  async start(port = 0): Promise<string> {
    this.http = createServer((request, response) => void this.serve(request, response));
    await new Promise<void>((resolve) => this.http?.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.http?.closeAllConnections();
    await new Promise((resolve) => this.http?.close(resolve));
  }

  /** "METHOD /path" of every request so far. */
  get requestLines(): string[] {
    return this.seen.map(({ method, path }) => `${method} ${path}`);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const { method = '', headers } = request;
    const seen = { method, path, query, headers, body: Buffer.concat(chunks) };
    this.seen.push(seen);
    const handler = this.handlers.get(`${method} ${path}`);
    if (handler !== undefined) handler(seen, response);
    else this.answer(seen, response);
  }

  private answer({ method, path, headers, body }: SeenRequest, response: ServerResponse): void {
    if (`${method} ${path}` === 'POST /v1/pair') {
      if ((JSON.parse(body.toString()) as { code: string }).code === CODE) return json(response, { token: TOKEN });
      return problem(response, 403, 'pairing', "this is not the code in the server's terminal");
    }
    if (headers.authorization !== `Bearer ${TOKEN}`) return problem(response, 401, 'unauthorised', 'pair again');
    const [, , , job, part] = path.split('/');
    if (path === '/ready') return json(response, { workers: [{ provider: 'CPUExecutionProvider' }] });
    if (path === '/v1/recipes') {
      return json(response, [{ name: 'draft', summary: 'fast', budget: 8, steps: 0, deadline: null }]);
    }
    if (path === '/v1/presets') return json(response, [{ name: 'any', label: 'a robust default', quality: 80 }]);
    if (method === 'POST' && path === '/v1/jobs') return json(response, { id: `job${++this.count}`, state: 'queued' });
    if (job === undefined) return problem(response, 404, 'route', 'not found');
    if (method === 'DELETE') return void response.writeHead(204).end();
    if (part === 'events') return events(response, [['done', {}]], Number(headers['last-event-id']));
    if (part === 'receipt') return json(response, RECEIPT);
    if (part === 'result') return void response.writeHead(200, { 'content-type': 'image/jpeg' }).end(PROTECTED);
    return problem(response, 404, 'route', 'not found');
  }
}

export function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

export function problem(response: ServerResponse, status: number, name: string, detail: string, wait?: number): void {
  if (wait !== undefined) response.setHeader('retry-after', wait);
  response.setHeader('content-type', 'application/problem+json');
  response.writeHead(status).end(JSON.stringify({ type: `/problems/${name}`, title: '', status, detail }));
}

/** Sends events numbered from 1. Ends the stream unless `open`. */
export function events(response: ServerResponse, all: [string, object][], after = 0, open = false): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('retry: 1000\n\n');
  all.forEach(([name, data], at) => {
    if (at + 1 > after) response.write(`id: ${at + 1}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  });
  if (!open) response.end();
}

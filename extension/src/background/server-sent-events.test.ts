import { expect, test } from 'vitest';
import { isFinal, JobEventParser } from './server-sent-events';

const STREAM = 'retry: 1000\n\nid: 1\nevent: queued\ndata: {"position":0}\n\nid: 2\nevent: step\ndata: {"step":1}\n\n';

test('events are complete wherever the network splits them', () => {
  for (let size = 1; size < STREAM.length; size++) {
    const reader = new JobEventParser();
    const found = [];
    for (let at = 0; at < STREAM.length; at += size) found.push(...reader.push(STREAM.slice(at, at + size)));
    expect(found).toEqual([
      { id: 1, event: 'queued', data: { position: 0 } },
      { id: 2, event: 'step', data: { step: 1 } },
    ]);
  }
});

test('invalid events are left out', () => {
  const reader = new JobEventParser();
  expect(
    reader.push('id: 1\nevent: step\ndata: {\n\nid: x\nevent: done\ndata: {}\n\n: comment\n\nevent: new\n\n'),
  ).toEqual([]);
  expect(reader.push('id: 3\r\nevent: done\r\ndata: {}\r\n\r\n')).toEqual([{ id: 3, event: 'done', data: {} }]);
});

test.each([
  ['queued', false],
  ['step', false],
  ['done', true],
  ['failed', true],
  ['cancelled', true],
] as const)('%s ends the job: %s', (event, over) => {
  expect(isFinal({ id: 1, event, data: {} })).toBe(over);
});

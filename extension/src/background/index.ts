/** The background: every listener is set in the first turn, because the browser wakes the worker for those alone. */
import { browser } from 'wxt/browser';
import { inject, welcome } from './install';
import { cancelAll } from './jobs';
import { watch } from './leaks';
import { closeStorage } from './pairing';
import { answer } from './requests';
import { menu, watchMenu } from './save';
import { push } from './tabs';
import { KEY, settingsFrom } from '../settings';
import { forget } from './uploads';

export function start(): void {
  closeStorage();
  browser.runtime.onMessage.addListener((message: unknown, sender, respond) => {
    void answer(message, sender).then(respond);
    return true;
  });
  browser.runtime.onInstalled.addListener(({ reason }) => {
    menu();
    if (reason === 'install') void Promise.allSettled([welcome(), inject()]);
  });
  browser.runtime.onStartup.addListener(menu);
  browser.tabs.onRemoved.addListener((tab) => void Promise.allSettled([cancelAll(tab), forget(tab)]));
  browser.storage.local.onChanged.addListener((changes) => {
    if (changes[KEY] !== undefined) void push(settingsFrom(changes[KEY].newValue));
  });
  watchMenu();
  watch();
}

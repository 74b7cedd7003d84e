/** Background. All listeners are added synchronously: the browser wakes the worker only for those. */
import { browser } from 'wxt/browser';
import { injectIntoOpenTabs, openWelcomePage } from './first-run';
import { cancelAll } from './jobs';
import { watchRequests } from './leak-alarm';
import { restrictStorage } from './pairing';
import { answerRequest } from './requests';
import { createMenu, watchMenu } from './protect-and-save';
import { pushSettings } from './tabs';
import { SETTINGS_KEY, parseSettings } from '../settings';
import { forgetTab } from './upload-history';

export function start(): void {
  restrictStorage();
  browser.runtime.onMessage.addListener((message: unknown, sender, respond) => {
    void answerRequest(message, sender).then(respond);
    return true;
  });
  browser.runtime.onInstalled.addListener(({ reason }) => {
    createMenu();
    if (reason === 'install') void Promise.allSettled([openWelcomePage(), injectIntoOpenTabs()]);
  });
  browser.runtime.onStartup.addListener(createMenu);
  browser.tabs.onRemoved.addListener((tab) => void Promise.allSettled([cancelAll(tab), forgetTab(tab)]));
  browser.storage.local.onChanged.addListener((changes) => {
    if (changes[SETTINGS_KEY] !== undefined) void pushSettings(parseSettings(changes[SETTINGS_KEY].newValue));
  });
  watchMenu();
  watchRequests();
}

/** Background. All listeners are added synchronously: the browser wakes the worker only for those. */
import { browser } from 'wxt/browser';
import { SETTINGS_KEY, parseSettings } from '../settings';
import { injectIntoOpenTabs, openWelcomePage } from './first-run';
import { cancelAll } from './jobs';
import { watchRequests } from './leak-alarm';
import { restrictStorage } from './pairing';
import { createMenu, watchMenu } from './protect-and-save';
import { answerRequest } from './requests';
import { pushSettings } from './tabs';
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

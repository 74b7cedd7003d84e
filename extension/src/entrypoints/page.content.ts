import { defineContentScript } from 'wxt/utils/define-content-script';
import { start } from '../page';

export default defineContentScript({
  matches: ['<all_urls>'],
  world: 'MAIN',
  runAt: 'document_start',
  allFrames: true,
  matchAboutBlank: true,
  matchOriginAsFallback: true,
  main: start,
});

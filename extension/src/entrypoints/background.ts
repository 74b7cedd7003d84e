import { defineBackground } from 'wxt/utils/define-background';
import { start } from '../background';

export default defineBackground(start);

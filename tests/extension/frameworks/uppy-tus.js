import Uppy from '@uppy/core';
import DragDrop from '@uppy/drag-drop';
import Tus from '@uppy/tus';

/* global up */
new Uppy({ autoProceed: true })
  .use(DragDrop, { target: '#app' })
  .use(Tus, { endpoint: up.replace('/up/', '/tus/'), chunkSize: 4096, limit: 1, removeFingerprintOnSuccess: true });

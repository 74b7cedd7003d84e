import Uppy from '@uppy/core';
import DragDrop from '@uppy/drag-drop';
import XHRUpload from '@uppy/xhr-upload';

/* global up */
new Uppy({ autoProceed: true })
  .use(DragDrop, { target: '#app' })
  .use(XHRUpload, { endpoint: up, fieldName: 'photos', limit: 1, getResponseData: () => ({ url: up }) });

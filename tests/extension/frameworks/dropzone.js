import Dropzone from 'dropzone';

/* global up */
new Dropzone('#app', { url: up, paramName: 'photos', parallelUploads: 1 });

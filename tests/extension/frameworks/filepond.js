import * as FilePond from 'filepond';

/* global up */
FilePond.create(document.getElementById('app'), {
  name: 'photos',
  allowMultiple: true,
  server: { process: up },
});

import { createApp, h, ref } from 'vue';

/* global post */
createApp({
  setup() {
    const names = ref([]);
    const onChange = async (event) => {
      const files = [...event.target.files];
      names.value = files.map((file) => file.name);
      await post(files);
    };
    return () => [h('input', { id: 'pick', type: 'file', multiple: true, onChange }), h('p', names.value.join(', '))];
  },
}).mount('#app');

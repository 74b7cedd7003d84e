import { useState } from 'react';
import { createRoot } from 'react-dom/client';

/* global post */
function Upload() {
  const [names, setNames] = useState([]);
  const change = async (event) => {
    const files = [...event.target.files];
    setNames(files.map((file) => file.name));
    await post(files);
  };
  return (
    <form>
      <input id="pick" type="file" multiple onChange={change} />
      <p>{names.join(', ')}</p>
    </form>
  );
}

createRoot(document.getElementById('app')).render(<Upload />);

import { defineConfig } from 'wxt';

/** PERMISSIONS.md gives a reason for every permission; a test compares the two. */
export default defineConfig({
  srcDir: 'src',
  outDir: process.env['WXT_OUT'] ?? '.output', // allows several builds side by side
  imports: false, // no auto-imports
  manifestVersion: 3,
  manifest: ({ browser }) => ({
    name: '__MSG_name__',
    description: '__MSG_description__',
    default_locale: 'en',
    permissions: ['contextMenus', 'scripting', 'storage', 'webRequest'],
    host_permissions: ['<all_urls>'],
    // Stricter than the default, but without Firefox's `upgrade-insecure-requests`: local servers use http.
    content_security_policy: {
      extension_pages: [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        'connect-src http: https: file: data: blob:',
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
      ].join('; '),
    },
    ...(browser === 'firefox'
      ? {
          browser_specific_settings: {
            gecko: {
              id: 'anti-i2v@anti-i2v.invalid',
              strict_min_version: '140.0', // first with data_collection_permissions
              data_collection_permissions: { required: ['none'] },
            },
            gecko_android: { strict_min_version: '142.0' },
          },
        }
      : {
          minimum_chrome_version: '120',
          // Messages can hold Blobs, from Chrome 148 on. Earlier versions use base64.
          message_serialization: 'structured_clone',
        }),
  }),
  zip: { artifactTemplate: '{{name}}-{{version}}-{{browser}}.zip', zipSources: false },
});

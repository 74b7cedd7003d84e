// Media types of uploads, by file name extension. Some systems report no type for some files.

export const TYPES = {
  jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", webp: "image/webp", avif: "image/avif", tif: "image/tiff",
  tiff: "image/tiff", bmp: "image/bmp", heic: "image/heic", heif: "image/heif",
};

/** Format of a result -> extensions, the usual one first. */
export const EXTENSIONS = { jpeg: ["jpg", "jpeg"], tiff: ["tif", "tiff"], heif: ["heic", "heif"] };

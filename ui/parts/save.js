/** @param {Blob} blob @param {string} name */
export function saveBlob(blob, name) {
  const address = URL.createObjectURL(blob)
  saveAs(address, name)
  setTimeout(() => URL.revokeObjectURL(address), 60_000) // the browser reads it after the click
}

/** @param {string} address @param {string} name */
export function saveAs(address, name) {
  const anchor = document.createElement('a')
  anchor.href = address
  anchor.download = name
  anchor.click()
}

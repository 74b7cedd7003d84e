/** "the file is empty" -> "The file is empty." */
export function asSentence(words: string): string {
  const capitalised = words.charAt(0).toUpperCase() + words.slice(1);
  return capitalised === '' || /[.!?]$/.test(capitalised) ? capitalised : `${capitalised}.`;
}

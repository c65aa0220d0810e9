/** How `<sms-verify>` looks by itself: as its page does, by day and by night, in either direction of writing. */

const CSS = `
:host {
  --accent: var(--sms-verify-accent, light-dark(#2451d6, #8fabff));
  --on-accent: var(--sms-verify-on-accent, light-dark(#fff, #16181d));
  --soft: var(--sms-verify-soft, light-dark(#5b6270, #a2a9b6));
  --border: var(--sms-verify-border, light-dark(#8a91a0, #6a7180));
  --quiet: var(--sms-verify-quiet, light-dark(#e8eaef, #2a2f39));
  --bad: var(--sms-verify-bad, light-dark(#b42318, #ff9a8f));
  --good: var(--sms-verify-good, light-dark(#12715b, #63d3b4));
  --radius: var(--sms-verify-radius, 0.625rem);
  --gap: var(--sms-verify-gap, 0.5rem);
  display: block;
}
:host([hidden]), [hidden] {
  display: none !important;
}
* {
  box-sizing: border-box;
}
p, label, button {
  unicode-bidi: plaintext;
}
p, label {
  text-align: -webkit-match-parent;
  text-align: match-parent;
}
p {
  margin: 0 0 var(--gap);
  font-size: 0.875em;
  color: var(--soft);
}
p:empty {
  margin: 0;
}
form + p, form ~ p {
  margin: var(--gap) 0 0;
}
[part~='status']:focus {
  outline: none;
}
[part~='success'] {
  font-size: 1em;
  font-weight: 600;
  color: var(--good);
}
[part~='problem'] {
  color: var(--bad);
}
label {
  display: block;
  margin-block-end: calc(var(--gap) * 0.75);
  font-weight: 600;
}
[part~='row'] {
  display: flex;
  flex-wrap: wrap;
  gap: var(--gap);
}
[part~='more'] {
  margin-block-start: var(--gap);
}
input, button {
  min-inline-size: 0;
  min-block-size: 3rem;
  margin: 0;
  padding: 0 0.875rem;
  border: 1px solid transparent;
  border-radius: var(--radius);
  font: inherit;
  font-variant-numeric: tabular-nums;
}
input {
  flex: 2 1 10rem;
  border-color: var(--border);
  background: none;
  color: inherit;
}
input[type='tel'] {
  flex-basis: 13rem;
}
input[aria-invalid='true'] {
  border-color: var(--bad);
}
button {
  flex: 1 1 10rem;
  background: var(--accent);
  color: var(--on-accent);
  font-weight: 600;
  cursor: pointer;
}
[part~='more'] button {
  flex: 0 1 auto;
  min-block-size: 2.75rem;
  padding: 0;
  margin-inline-end: 1rem;
  background: none;
  color: var(--accent);
  font-size: 0.875em;
}
button[aria-disabled='true'] {
  background: var(--quiet);
  color: var(--soft);
  cursor: default;
}
[part~='more'] button[aria-disabled='true'] {
  background: none;
}
input:focus-visible, button:focus-visible {
  outline: 3px solid var(--accent);
  outline-offset: 2px;
}
`

let shared: CSSStyleSheet | undefined

/** One for all elements. Not a style element, which a page's content security policy may forbid. */
export function styleSheet(): CSSStyleSheet {
  if (!shared) {
    shared = new CSSStyleSheet()
    shared.replaceSync(CSS)
  }
  return shared
}

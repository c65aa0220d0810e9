/**
 * `<sms-verify>`: a number, a code, a proof, in any page and any framework. Importing it defines the element; on a server,
 * where there are none, it does nothing.
 */
import { createVerification, type Verification, type VerificationState } from './index.ts'
import { styleSheet } from './style.ts'
import { clock, fill, languageOf, problemOf, type Texts, textsOf } from './texts.ts'

export type { Texts } from './texts.ts'

declare global {
  interface HTMLElementTagNameMap {
    'sms-verify': SmsVerifyElement
  }
}

/** What is about the thing that was entered, and not about the server or the time. */
const INPUT_ERRORS =
  /INVALID_REQUEST|INVALID_PHONE|COUNTRY_NOT_ALLOWED|NUMBER_TYPE_NOT_ALLOWED|WRONG_CODE$/

/** What the server takes for a language, and chooses from what it has. */
const TAG = /^[A-Za-z0-9-]{1,32}$/

/** On a server a class of something has to be made all the same. */
const Base = globalThis.HTMLElement ?? (Object as unknown as typeof HTMLElement)

/**
 * Attributes, read when the element comes into a page: `base-url`, `purpose` and `locale` as for `createVerification` (the
 * SMS is in the language of the page by default), and `phone` to begin with. At any time: `name`, with which a form posts
 * the proof; `required`; `calling-code`, such as `+49`, for numbers that are entered without one; and `lang`, of the texts
 * (that of the page by default).
 *
 * Slot: `country`, before the number; say, for a `select` of yours that sets `calling-code`.
 *
 * Event: `change`, when the number is verified, and when it is not any more.
 */
// A class: the platform knows no other form of a custom element.
export class SmsVerifyElement extends Base {
  static formAssociated = true
  static observedAttributes = ['lang', 'required', 'calling-code']

  #internals = this.attachInternals()
  #parts = build(this.attachShadow({ mode: 'open', delegatesFocus: true }))
  #verification: Verification | undefined
  /** A page may change its language. */
  #page = new MutationObserver(() => this.#render())
  #fetch: typeof globalThis.fetch | undefined
  #texts: Partial<Texts> = {}
  /** About what was entered, before any server was asked. */
  #complaint = ''
  /** Digits before the last input. */
  #digits = ''
  /** Somebody waits for what comes of a press; the focus then goes there. */
  #pressed = false
  #disabled = false
  #status: VerificationState['status'] = 'idle'

  /** The proof; '' until the number is verified. */
  get value(): string {
    return this.#verification?.state.proof ?? ''
  }

  /** What is underneath, while the element is in a page: its state, and what can be done. */
  get verification(): Verification | undefined {
    return this.#verification
  }

  /** For headers or credentials of yours. @default globalThis.fetch */
  get fetch(): typeof globalThis.fetch | undefined {
    return this.#fetch
  }
  // An accessor: a field would wipe what was set before the upgrade.
  set fetch(fetch: typeof globalThis.fetch | undefined) {
    this.#fetch = fetch
  }

  /** Your own words, for any of the texts. @default {} */
  get texts(): Partial<Texts> {
    return this.#texts
  }
  set texts(texts: Partial<Texts>) {
    this.#texts = texts
    this.#render()
  }

  get form(): HTMLFormElement | null {
    return this.#internals.form
  }
  get validity(): ValidityState {
    return this.#internals.validity
  }
  get validationMessage(): string {
    return this.#internals.validationMessage
  }
  checkValidity(): boolean {
    return this.#internals.checkValidity()
  }
  reportValidity(): boolean {
    return this.#internals.reportValidity()
  }

  /** Where one goes on; of itself the first thing in here would get it, which is a text. */
  override focus(options?: FocusOptions): void {
    const { phone, code } = this.#parts
    if (this.#status === 'verified') this.#toStatus(options)
    else (code.form.hidden ? phone : code).input.focus(options)
  }

  #toStatus(options?: FocusOptions): void {
    const { status } = this.#parts
    // Not before: `delegatesFocus` would prefer it to the fields.
    status.tabIndex = -1
    status.focus(options)
  }

  connectedCallback(): void {
    // Moved within its page, it goes on as it was.
    if (this.#verification) return
    // Set before the upgrade, they hide those of the class.
    for (const name of ['fetch', 'texts'] as const) {
      const own = Object.getOwnPropertyDescriptor(this, name)
      if (own && Reflect.deleteProperty(this, name)) Object.assign(this, { [name]: own.value })
    }
    const { phone, code, resend, change } = this.#parts
    phone.input.value ||= this.getAttribute('phone') ?? ''
    phone.form.onsubmit = (event) => this.#send(event)
    phone.input.oninput = () => this.#complain('')
    code.form.onsubmit = (event) => this.#check(event)
    code.input.oninput = () => this.#take(code.input.value)
    code.input.onpaste = (event) => {
      event.preventDefault()
      this.#digits = ''
      this.#take(codeIn(event.clipboardData?.getData('text') ?? '', this.#codeLength))
    }
    resend.onclick = () => this.#press(resend, (verification) => verification.resend())
    change.onclick = () => this.#press(change, (verification) => verification.reset())

    const locale = this.getAttribute('locale') ?? this.#tag
    const verification = createVerification({
      baseUrl: this.getAttribute('base-url') ?? undefined,
      purpose: this.getAttribute('purpose') ?? undefined,
      locale: TAG.test(locale) ? locale : undefined,
      // What is set in the same breath counts, also for what a reload has to ask at once.
      fetch: async (...args) => {
        await undefined
        return (this.fetch ?? globalThis.fetch)(...args)
      },
    })
    this.#verification = verification
    this.#page.observe(document.documentElement, { attributeFilter: ['lang'] })
    verification.subscribe(() => this.#render())
  }

  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (this.isConnected) return
      this.#page.disconnect()
      this.#verification?.close()
      this.#verification = undefined
    })
  }

  attributeChangedCallback(): void {
    this.#render()
  }

  formResetCallback(): void {
    this.#complaint = ''
    this.#verification?.reset()
    this.#parts.phone.input.value = this.getAttribute('phone') ?? ''
    this.#render()
  }

  formDisabledCallback(disabled: boolean): void {
    this.#disabled = disabled
    this.#render()
  }

  /** The page's, whether there are texts in it or not. */
  get #tag(): string {
    const own = this.closest<HTMLElement>('[lang]')?.lang
    return own || document.documentElement.lang || navigator.language
  }

  get #language(): string {
    return languageOf(this.#tag)
  }

  get #words(): Texts {
    return { ...textsOf(this.#language), ...this.#texts }
  }

  get #number(): string {
    const entered = this.#parts.phone.input.value.trim()
    const code = this.getAttribute('calling-code')
    return entered && code && !entered.startsWith('+') ? `${code} ${entered}` : entered
  }

  get #codeLength(): number {
    return this.#verification?.state.codeLength ?? 0
  }

  #press(button: HTMLElement, act: (verification: Verification) => unknown): void {
    if (!this.#verification || button.ariaDisabled === 'true' || this.#disabled) return
    this.#pressed = true
    this.#complaint = ''
    act(this.#verification)
  }

  #send(event: Event): void {
    event.preventDefault()
    const phone = this.#number
    if (!phone) this.#refuse(this.#words.phoneMissing, this.#parts.phone.input)
    else this.#press(this.#parts.phone.button, (verification) => verification.send(phone))
  }

  #check(event?: Event): void {
    event?.preventDefault()
    const { input, button } = this.#parts.code
    const digits = this.#codeLength
    if (input.value.length !== digits)
      this.#refuse(fill(this.#words.codeMissing, { digits }), input)
    else this.#press(button, (verification) => verification.verify(input.value))
  }

  /** Leaves digits, and checks them where all came at once, by paste or autofill: nobody can have mistyped them. */
  #take(text: string): void {
    const { input } = this.#parts.code
    const found = text.normalize('NFKC').replace(/\D/g, '')
    const digits = found.slice(0, this.#codeLength)
    const atOnce = Math.abs(found.length - this.#digits.length) !== 1
    if (input.value !== digits) input.value = digits
    const isWhole = found.length === this.#codeLength && atOnce && digits !== this.#digits
    this.#digits = digits
    this.#complain('')
    if (isWhole) this.#check()
  }

  /** Empty in between, or else a live region would not say the same again. */
  #refuse(complaint: string, input: HTMLInputElement): void {
    this.#complain('')
    this.#complain(complaint)
    input.focus()
  }

  #complain(complaint: string): void {
    this.#complaint = complaint
    this.#render()
  }

  #render(): void {
    const state = this.#verification?.state
    if (!state) return
    const focused = this.shadowRoot?.activeElement
    this.#say(state)
    if (state.status === this.#status) return
    const before = this.#status
    this.#status = state.status
    this.#arrive(state, Boolean(focused?.closest('[hidden]')))
    if (state.status === 'verified' || before === 'verified') {
      this.dispatchEvent(new Event('change', { bubbles: true }))
    }
  }

  /** All that can be read. */
  #say(state: VerificationState): void {
    const { root, phone, code, status, problem, expires, resend, change } = this.#parts
    const words = this.#words
    const { status: is, delivery, expiresIn, resendIn, checkIn, proof } = state
    const isSending = is === 'sending'
    const isRetrying = isSending && state.error
    const isVerified = is === 'verified'

    // A resend leaves the code's form where it is.
    const awaitsCode = isSending ? !code.form.hidden : /waiting|checking/.test(is)
    phone.form.hidden = awaitsCode || isVerified
    code.form.hidden = expires.hidden = resend.hidden = !awaitsCode
    change.hidden = !awaitsCode && !isVerified && !isRetrying
    // Your own words are in the language of the page, as far as anybody knows.
    root.lang = Object.keys(this.#texts).length > 0 ? this.#tag : this.#language
    for (const { input } of [phone, code]) input.disabled = this.#disabled
    change.ariaDisabled = String(this.#disabled)

    const isOther = !awaitsCode && this.#number !== (state.phone ?? '')
    const wait = isOther ? 0 : resendIn
    // Another number need not wait for what becomes of this one.
    const isBusy = this.#disabled || (isSending && !isOther) || is === 'checking'
    const sending = isSending && !isOther ? words.sending : undefined
    put(phone.label, words.phone)
    count(phone.button, sending ?? words.send, wait, isBusy)
    put(code.label, words.code)
    count(code.button, is === 'checking' ? words.checking : words.check, checkIn, isBusy)
    count(resend, sending ?? words.resend, resendIn, isBusy || resendIn === undefined)
    put(change, words.change)
    put(
      expires,
      expiresIn && delivery !== 'failed' ? fill(words.expires, { time: clock(expiresIn) }) : '',
    )

    const { waiting, delivered, queued = waiting, sent = waiting } = words
    const arrivals = { queued, sending: queued, sent, delivered, failed: '' }
    const arrival = delivery ? arrivals[delivery] : waiting
    const going = isRetrying
      ? words.retrying
      : awaitsCode
        ? fill(arrival, { phone: state.phone })
        : ''
    put(status, isVerified ? words.verified : going)
    status.part.toggle('success', isVerified)
    const wrong = isOther || isSending ? '' : problemOf(state, words)
    put(problem, this.#complaint || wrong)
    const isInput = this.#complaint || (wrong && INPUT_ERRORS.test(state.error?.code ?? ''))
    for (const { input } of [phone, code]) input.ariaInvalid = String(Boolean(isInput))

    this.#internals.setFormValue(proof ?? null)
    const isMissing = this.hasAttribute('required') && !proof
    const anchor = awaitsCode ? code.input : phone.input
    this.#internals.setValidity(
      { valueMissing: isMissing },
      isMissing ? words.required : '',
      anchor,
    )
  }

  /**
   * What a new status does to the fields, and where the focus goes that a press has taken from them; or that was in what is
   * hidden now, without a press.
   */
  #arrive(
    { status: is, phone: number, code: read, error }: VerificationState,
    lost: boolean,
  ): void {
    const { phone, code } = this.#parts
    if (is === 'sending') code.input.value = this.#digits = ''
    // From the SMS, by the browser.
    if (is === 'checking' && read) code.input.value = this.#digits = read
    if (is === 'idle') code.input.value = this.#digits = ''
    else phone.input.value ||= number ?? ''
    if (is === 'sending' || is === 'checking') return
    const wasPressed = this.#pressed
    this.#pressed = false
    if (!(wasPressed || lost) || isElsewhere(this)) return
    if (is === 'waiting') {
      code.input.focus()
      if (error) code.input.select()
    } else if (is === 'verified' || !wasPressed) this.#toStatus()
    else phone.input.focus()
  }
}

globalThis.customElements?.get('sms-verify') ??
  globalThis.customElements?.define('sms-verify', SmsVerifyElement)

/** Whether somebody has gone on to another field meanwhile. */
function isElsewhere(element: HTMLElement): boolean {
  const { activeElement: active } = element.getRootNode() as Document | ShadowRoot
  return active !== null && active !== element && active !== document.body
}

/** What is pasted may be "123 456", or the whole SMS. */
function codeIn(text: string, length: number): string {
  const plain = text.normalize('NFKC').replace(/(\d)[ -](?=\d)/g, '$1')
  return plain.match(new RegExp(`(?<!\\d)\\d{${length}}(?!\\d)`))?.[0] ?? plain
}

interface Field {
  form: HTMLFormElement
  label: HTMLLabelElement
  input: HTMLInputElement
  button: HTMLButtonElement
}

/** Made by hand and not of HTML: a page's policy may forbid that (`require-trusted-types-for`). */
function build(shadow: ShadowRoot) {
  const phone = field('phone', 'send', { type: 'tel', autocomplete: 'tel', maxlength: '32' })
  const code = field('code', 'check', { inputmode: 'numeric', autocomplete: 'one-time-code' })
  const status = make('p', { part: 'status', role: 'status' })
  status.onblur = () => status.removeAttribute('tabindex')
  const problem = make('p', { part: 'problem', role: 'alert', id: 'problem' })
  const expires = make('p', { part: 'expires', id: 'expires' })
  const resend = make('button', { part: 'button resend', type: 'button' })
  const change = make('button', { part: 'button change', type: 'button' })
  const more = make('div', { part: 'row more' }, resend, change)
  code.form.hidden = true
  phone.input.before(make('slot', { name: 'country' }))
  const root = make('div', {}, status, phone.form, code.form, problem, expires, more)
  shadow.adoptedStyleSheets = [styleSheet()]
  shadow.append(root)
  return { root, phone, code, status, problem, expires, resend, change }
}

/** Numbers are written from left to right, whatever surrounds them. */
function field(name: string, action: string, attributes: Record<string, string>): Field {
  const label = make('label', { part: 'label', for: name })
  const described = { 'aria-describedby': 'problem expires', dir: 'ltr' }
  const input = make('input', { part: `input ${name}`, id: name, ...described, ...attributes })
  const button = make('button', { part: `button ${action}`, type: 'submit' })
  const row = make('div', { part: 'row' }, input, button)
  const form = make('form', { part: 'form', novalidate: '' }, label, row)
  return { form, label, input, button }
}

function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Record<string, string>,
  ...children: HTMLElement[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

/** Only what is new: a live region would say the same again. */
function put(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Not `disabled`, which would take the focus away. */
function count(button: HTMLElement, label: string, seconds = 0, isBusy = false): void {
  put(button, seconds > 0 ? `${label} · \u2068${clock(seconds)}\u2069` : label)
  button.ariaDisabled = String(isBusy || seconds > 0)
}

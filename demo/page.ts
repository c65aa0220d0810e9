/** The sign-up around `<sms-verify>`, and at its side, in development, a phone and a switch for its provider. */
import '../src/client/element.ts' // yours: 'fastify-sms-verify/client/element'
import type { VerificationState } from '../src/client/index.ts'
import { fill, languageOf } from '../src/client/texts.ts'
import { textsOf } from './texts.ts'

interface Message {
  version: number
  code: string
  text: string
}

/** SMS that fit on the phone. */
const ON_SCREEN = 3

/** The last one only where the provider says so. */
const STEPS = ['queued', 'sending', 'sent', 'delivered'] as const
const SENT = STEPS.indexOf('sent')

const $ = <Type extends HTMLElement = HTMLElement>(id: string) =>
  document.getElementById(id) as Type

const language = languageOf(document.documentElement.lang)
const texts = textsOf(language)
const element = document.querySelector('sms-verify') as HTMLElementTagNameMap['sms-verify']
const { verification } = element
if (!verification) throw new Error('expected <sms-verify> to be in the page')

chooseCountry()
serveForm()
showDelivery()
if (!$('development').hidden) {
  showPhone()
  serveSwitch()
}

/** That of the browser's language, to begin with. */
function chooseCountry(): void {
  const country = $<HTMLSelectElement>('country')
  const { region } = new Intl.Locale(navigator.language).maximize()
  const own = country.querySelector<HTMLOptionElement>(`[data-country="${region}"]`)
  if (own) own.selected = true
  const choose = () => element.setAttribute('calling-code', country.value)
  country.addEventListener('change', choose)
  choose()
}

function serveForm(): void {
  const form = $<HTMLFormElement>('sign-up')
  let body = {}
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    put($('problem'), '')
    const name = $<HTMLInputElement>('name').value.trim()
    body = { name, proof: element.value }
    const { status, phone } = await post(body)
    if (status === 201) {
      form.hidden = true
      $('done').hidden = false
      put($('welcome'), fill(texts.done, { name }))
      put($('verified-number'), fill(texts.doneNumber, { phone: phone?.replaceAll('*', '•') }))
      return $('welcome').focus()
    }
    put($('problem'), problemOf(status))
    if (status === 400) return $('name').focus()
    if (status !== 410) return
    // It will not get better: only another verification helps.
    element.verification?.reset()
    element.focus()
  })
  $('again').addEventListener('click', async () => {
    const { status } = await post(body)
    put($('second-problem'), problemOf(status))
  })
}

/** Status 0 if there was no answer. */
async function post(body: object): Promise<{ status: number; phone?: string }> {
  try {
    const answer = await fetch('/accounts', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    })
    return { ...(await answer.json()), status: answer.status }
  } catch {
    return { status: 0 }
  }
}

function problemOf(status: number): string {
  if (status === 410) return texts.proofUsed
  if (status === 400) return texts.nameMissing
  return status === 0 ? texts.unreachable : texts.serverError
}

/** How far the SMS has come, and how long after the press it got there. */
function showDelivery(): void {
  const list = $('delivery')
  const steps = STEPS.map((name) => {
    const [step, time] = [document.createElement('li'), document.createElement('span')]
    step.append(document.createElement('span'), ' ', time)
    list.append(step)
    return { name, step, label: step.firstChild as HTMLElement, time }
  })
  let pressedAt: number | undefined
  let before: VerificationState | undefined
  verification?.subscribe((state) => {
    const { status, delivery } = state
    if (status === 'sending' && before?.status !== 'sending') {
      pressedAt = performance.now()
      for (const { time } of steps) put(time, '')
    }
    const isFailed = delivery === 'failed'
    const at = isFailed ? SENT : STEPS.indexOf(delivery as (typeof STEPS)[number])
    for (const [i, { name, step, label, time }] of steps.entries()) {
      put(label, isFailed && i === at ? texts.failed : texts[name])
      step.hidden = i > SENT && i > at
      step.className = i > at ? '' : isFailed && i === at ? 'failed' : 'done'
      step.ariaCurrent = i === at ? 'step' : null
      const isNew = i === at && delivery !== before?.delivery
      if (isNew && pressedAt) put(time, duration(performance.now() - pressedAt))
    }
    list.hidden = at < 0 && status !== 'sending'
    before = state
  })
}

const duration = (ms: number): string =>
  ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`

function isSent(delivery: VerificationState['delivery']): boolean {
  return delivery === 'sent' || delivery === 'delivered'
}

/** Shows the SMS as soon as the provider has taken it. To fill in its code is one tap, as on a phone. */
function showPhone(): void {
  const list = $('messages')
  const fillIn = document.createElement('button')
  fillIn.type = 'button'
  let tapped = false
  let newest: (Message & { id: string }) | undefined
  let before: VerificationState | undefined
  const clock = () => {
    const now = new Date()
    put($('time'), now.toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' }))
  }
  clock()
  setInterval(clock, 1000)

  fillIn.addEventListener('click', () => {
    if (!newest || verification?.state.status !== 'waiting') return
    tapped = true
    verification.verify(newest.code)
  })
  verification?.subscribe((state) => {
    const { id, status, delivery } = state
    if (id && isSent(delivery) && !isSent(before?.delivery)) receive(id)
    before = state
    const isLive = /waiting|checking/.test(status) && id === newest?.id
    if (!isLive) fillIn.remove()
    // The button has gone, or its code is not right: the focus goes where one goes on.
    if (!tapped || status === 'checking') return
    tapped = false
    if (status === 'verified') $('create').focus()
    else element.focus()
  })

  async function receive(id: string): Promise<void> {
    const answer = await fetch(`/demo/phone?id=${id}`).catch(() => undefined)
    if (!answer?.ok) return
    const messages: Message[] = await answer.json()
    const known = list.querySelectorAll(`[data-id="${id}"]`).length
    for (const message of messages.slice(known)) {
      newest = { ...message, id }
      const item = document.createElement('li')
      item.dataset.id = id
      item.textContent = message.text
      list.append(item)
    }
    if (!newest) return
    $('no-messages').hidden = true
    put(fillIn, fill(texts.fillIn, newest))
    if (verification?.state.id === newest.id) list.after(fillIn)
    while (list.children.length > ON_SCREEN) list.firstChild?.remove()
  }
}

/** What the provider does to the next SMS. */
function serveSwitch(): void {
  const choose = (value: string) => {
    const chosen = $('provider').querySelector<HTMLInputElement>(`[value="${value}"]`)
    if (chosen) chosen.checked = true
  }
  const ask = async (init?: RequestInit) => {
    const answer = await fetch('/demo/provider', init).catch(() => undefined)
    put($('provider-problem'), answer?.ok ? '' : texts.notSwitched)
    if (answer?.ok) choose((await answer.json()).mode)
  }
  $('provider').addEventListener('change', (event) => {
    const mode = (event.target as HTMLInputElement).value
    const headers = { 'content-type': 'application/json' }
    ask({ method: 'PUT', headers, body: JSON.stringify({ mode }) })
  })
  ask()
}

/** Only what is new: a live region would say the same again. */
function put(place: HTMLElement, text: string): void {
  if (place.textContent !== text) place.textContent = text
}

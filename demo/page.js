/** Number, code, proof, sign-up. All the page knows it is told by the routes of the plugin. */

const SENTENCES = {
  SMS_VERIFY_INVALID_REQUEST: 'Something in there is not right. Check what you entered.',
  SMS_VERIFY_INVALID_PHONE:
    'This is not a phone number. Check it, and begin with the country code.',
  SMS_VERIFY_COUNTRY_NOT_ALLOWED: 'Codes cannot be sent to this country.',
  SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED: 'Codes can only be sent to mobile numbers.',
  SMS_VERIFY_CHALLENGE_REQUIRED: 'There are too many requests from where you are. Try again later.',
  SMS_VERIFY_REFUSED: 'No code can be sent to this number now.',
  SMS_VERIFY_GONE: 'That is over: expired, used, or tried too often. Ask for a new code.',
  SMS_VERIFY_TOO_MANY_REQUESTS: 'That was too often. Wait until the button counts down to zero.',
  SMS_VERIFY_UNAVAILABLE: 'This does not work at the moment. Try again soon.',
  SMS_VERIFY_INTERNAL_ERROR: 'Something went wrong on our side. Try again.',
  UNREACHABLE: 'The server cannot be reached. Check your connection and try again.',
}

/** Seconds that the button counts down from until the answer says better. */
const GUESS = 60

const $ = (id) => document.getElementById(id)

/** Seconds on a clock that nobody sets. */
const now = () => performance.now() / 1000
const secondsTo = (moment) => Math.max(0, Math.ceil(moment - now()))

/** The verification, and the moments it waits for. */
const state = { id: undefined, proof: undefined, sendAt: 0, checkAt: 0, expiresAt: 0 }

/** An answer that a later press or another number has overtaken is not for us. */
let press = 0

onSubmit('number', async (phone) => {
  if (secondsTo(state.sendAt) > 0) return
  if (!phone) return complain('number', 'Enter your mobile number.')
  const mine = ++press
  state.sendAt = now() + GUESS
  $('news').textContent = ''
  complain('number', '')

  // A resend keeps the verification and its tries; after the code's death there is none to keep.
  const id = secondsTo(state.expiresAt) > 0 ? state.id : undefined
  const body = { phone, id, locale: document.documentElement.lang }
  const headers = { 'idempotency-key': uniqueKey() }
  let answer = await post('/sms/send', body, headers)
  // The answer may be lost and not the request. The key makes it safe to repeat: only one SMS is sent.
  if (answer.code === 'UNREACHABLE') answer = await post('/sms/send', body, headers)
  if (mine !== press) return
  state.sendAt = now() + (answer.resendIn ?? answer.retryAfter ?? 0)
  if (answer.code) return refuse('number', answer)

  state.id = answer.id
  state.expiresAt = now() + answer.expiresIn
  $('check').hidden = false
  $('code').maxLength = answer.codeLength
  $('code').value = ''
  complain('check', '')
  $('news').textContent = 'The code is on its way.'
  $('code').focus()
  showMessages(mine)
})

onSubmit('check', async (text) => {
  const { id } = state
  const code = text.replace(/\D/g, '')
  if (secondsTo(state.checkAt) > 0) return
  if (code.length !== $('code').maxLength) {
    return complain('check', `The code has ${$('code').maxLength} digits.`)
  }
  // Until the answer is there: a second press would cost a second try.
  state.checkAt = Infinity
  complain('check', '')
  const answer = await post('/sms/verify', { id, code })
  state.checkAt = now() + (answer.retryAfter ?? 0)
  if (id !== state.id) return
  if (answer.code) return refuse('check', answer)

  state.proof = answer.proof
  $('number').hidden = true
  $('check').hidden = true
  $('register').hidden = false
  $('news').textContent = 'Your number is proved.'
  $('name').focus()
})

onSubmit('register', async (name) => {
  if (!name) return complain('register', 'Enter your name.')
  const answer = await post('/demo/register', { proof: state.proof, name })
  if (answer.code) return refuse('register', answer)
  $('register').hidden = true
  $('done').hidden = false
  $('welcome').textContent = `Welcome, ${name}. Your number is ${answer.phone}.`
  $('welcome').focus()
})

// Another number is another verification, and has not been waited for.
$('phone').addEventListener('input', () => {
  press++
  state.sendAt = 0
  forget()
  complain('number', '')
})

// What is pasted is often "123 456" or the whole SMS, and maxlength would cut it in the middle.
$('code').addEventListener('paste', (event) => {
  event.preventDefault()
  const text = event.clipboardData.getData('text').replace(/(\d)[ -](?=\d)/g, '$1')
  const found = text.match(/\d{6,}/)?.[0] ?? text.replace(/\D/g, '')
  $('code').value = found.slice(0, $('code').maxLength)
})

setInterval(render, 200)

function onSubmit(form, submit) {
  $(form).addEventListener('submit', (event) => {
    event.preventDefault()
    submit($(form).querySelector('input').value.trim())
  })
}

/** The answer; one with a `code` is a refusal. */
async function post(url, body, headers) {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    })
    const answer = await response.json()
    return response.ok ? answer : { code: 'SMS_VERIFY_INTERNAL_ERROR', ...answer }
  } catch {
    return { code: 'UNREACHABLE' }
  }
}

function refuse(form, { code, status, checksLeft }) {
  if (code === 'SMS_VERIFY_GONE' || checksLeft === 0) {
    forget()
    $('register').hidden = true
    $('number').hidden = false
    $('send').focus()
    return complain('number', SENTENCES.SMS_VERIFY_GONE, false)
  }
  const tries = checksLeft === 1 ? 'one try' : `${checksLeft} tries`
  const wrong = checksLeft && `That is not the code. You have ${tries} left.`
  const isInput = [400, 403, 422].includes(status)
  complain(form, wrong ?? SENTENCES[code] ?? SENTENCES.SMS_VERIFY_INTERNAL_ERROR, isInput)
  if (isInput) $(form).querySelector('input').select()
}

function complain(form, sentence, isInput = sentence !== '') {
  $(`${form}-problem`).textContent = sentence
  $(form).querySelector('input').ariaInvalid = String(isInput)
  render()
}

/** The next press begins another verification. */
function forget() {
  state.id = undefined
  $('check').hidden = true
}

/** Shows how long everything takes. None of it is in a live region: a screen reader would count along. */
function render() {
  countDown($('send'), state.id ? 'Send again' : 'Send code', secondsTo(state.sendAt))
  countDown($('verify'), 'Verify', secondsTo(state.checkAt))
  const life = secondsTo(state.expiresAt)
  $('expiry').textContent = life > 0 ? `Valid for ${clock(life)}.` : 'Expired. Ask for a new code.'
}

/** Not `disabled`, which would take the focus away. */
function countDown(button, label, seconds) {
  const counts = seconds > 0 && seconds < Infinity
  button.textContent = counts ? `${label} · ${clock(seconds)}` : label
  button.ariaDisabled = String(seconds > 0)
}

/** 0:59 and, where a limit has a day's window, 23:59:59. */
function clock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const text = parts.map((part) => String(part).padStart(2, '0')).join(':')
  return text.replace(/^(00:0?|0)/, '')
}

/** Puts the SMS on the phone at the side, as soon as the consumer has "sent" it. */
async function showMessages(mine) {
  if ($('messages').closest('aside').hidden) return
  const { id } = state
  const known = $('messages').querySelectorAll(`[data-id="${id}"]`).length
  for (let tries = 0; tries < 25 && mine === press; tries++) {
    const response = await fetch(`/demo/phone?id=${id}`).catch(() => undefined)
    const messages = response?.ok ? await response.json() : []
    for (const { text } of messages.slice(known)) {
      const item = document.createElement('li')
      item.dataset.id = id
      item.textContent = text
      $('messages').prepend(item)
    }
    $('no-messages').hidden = $('messages').children.length > 0
    if (messages.length > known) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** `randomUUID` exists only on https and localhost. */
function uniqueKey() {
  return crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join('-')
}

/** The text of the SMS, for vendors that take free text; template vendors get the code and the minutes instead. */

export interface TextOptions {
  /** Name of the app, shown in front of the text. Without one the person cannot tell who asks for the code. */
  brand?: string | undefined
}

// One segment each with a brand of ordinary length: 160 GSM-7 characters, or 70 UCS-2 ones. No link, and a warning not
// to share, as OWASP and the UK NCSC ask for.
const TEXTS = {
  en: {
    text: '{code} is your verification code. It is valid for {minutes} min. Do not share it with anyone.',
    brand: (brand: string) => `${brand}: `,
  },
  zh: {
    text: '您的验证码是{code}，{minutes}分钟内有效。请勿告诉他人。',
    brand: (brand: string) => `【${brand}】`,
  },
}

/** The text in the person's language where we have it, else in that of the number's country, else in English. */
export function composeText(
  message: { code: string; minutes: number; country: string; locale?: string | undefined },
  { brand }: TextOptions,
): string {
  const language = message.locale?.split('-')[0]?.toLowerCase()
  const chinese = language === 'zh' || (language !== 'en' && message.country === 'CN')
  const { text, brand: inFront } = chinese ? TEXTS.zh : TEXTS.en
  const body = text.replace('{code}', message.code).replace('{minutes}', String(message.minutes))
  return (brand ? inFront(brand) : '') + body
}

/** Answers with as many fields as ours, for what stands beside it. */
export const WRONG_CODE = {
  type: 'about:blank',
  title: 'Unprocessable Entity',
  status: 422,
  detail: 'The code is wrong.',
  code: 'SMS_VERIFY_WRONG_CODE',
  checksLeft: 4,
}

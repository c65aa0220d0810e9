/** What protects the receipts of vendors that do not sign. */
import { checkOption } from '../providers/http.ts'
import { TOKEN } from './receipt.ts'

/** Throws a TypeError that names the option unless it can be the unguessable part of a path. Never shows the value. */
export function checkToken(option: string, token: unknown): void {
  checkOption(option, token, ...TOKEN)
}

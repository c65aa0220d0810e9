/** What a provider is called: after its vendor, and where there are several of one vendor, apart from the others. */
import { checkOption } from './http.ts'

export interface NameOption {
  /**
   * Stands in logs, and tells several providers of one vendor apart in a chain: the vendor's name, or with 1 to 20 characters
   * of a-z, 0-9 and - behind a colon, such as `aliyun:abroad`. Receipts are of the part before the colon.
   * @default the vendor's name
   */
  name?: string | undefined
}

/** Answers what the provider is called. Throws a TypeError that names the option of `owner` unless that is `vendor`, or begins so. */
export function checkName(owner: string, vendor: string, name: string = vendor): string {
  const shape = new RegExp(`^${vendor}(:[a-z0-9-]{1,20})?$`)
  const expected = `${vendor}, or ${vendor}: and 1 to 20 characters of a-z, 0-9 and -`
  checkOption(`${owner}: name`, name, shape, expected)
  return name
}

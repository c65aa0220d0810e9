/** What people see, as pictures for them; and axe on each. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import axe from 'axe-core'
import type { Page } from 'playwright-core'

const PICTURES = 'test/browser/screenshots'

const WIDTHS = [360, 1280]

/** Pictures in both widths and both schemes; axe in all of them. */
export async function look(page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true })
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize({ width, height: 480 })
      await page.emulateMedia({ colorScheme })
      const what = `${name}-${width}-${colorScheme}`
      await page.screenshot({ path: `${PICTURES}/${what}.png`, fullPage: true })
      await page.evaluate(axe.source)
      const { violations } = await page.evaluate(() =>
        (globalThis as unknown as { axe: typeof axe }).axe.run(),
      )
      const found = violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)])
      assert.deepEqual(found, [], what)
      const overflow = () => document.documentElement.scrollWidth - window.innerWidth
      assert.ok((await page.evaluate(overflow)) <= 0, `${what} is wider than the page`)
    }
  }
}

/** Finds programs on a PATH, whatever the shell of the user makes of it. */
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { basename, delimiter, dirname, join } from 'node:path'

/** The given PATH with the sbin beside each bin, where Debian puts servers and users do not look. */
export function searchPath(path = process.env.PATH ?? ''): string {
  const folders = path.split(delimiter).filter(Boolean)
  const siblings = folders
    .filter((folder) => basename(folder) === 'bin')
    .map((folder) => join(dirname(folder), 'sbin'))
  return [...new Set([...folders, ...siblings])].join(delimiter)
}

export async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter(Boolean)) {
    const file = join(folder, name)
    if (await isExecutable(file)) return file
  }
  return undefined
}

export async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}

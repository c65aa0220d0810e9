/** Cleans up after this process however it ends, SIGKILL and a crash included. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'

export interface Guard {
  /** Ends the guard without running its script: everything has been cleaned up in order. */
  dismiss(): Promise<void>
}

/**
 * Runs a shell script when this process is gone. The shell holds the reading end of a pipe: a line
 * is the dismissal, the end of the pipe means that nobody is left to send one. It has a session of
 * its own, so a Ctrl-C in the terminal does not reach it.
 */
export function startGuard(script: string, ...args: string[]): Guard {
  const shell = spawn('/bin/sh', ['-c', `read -r _ && exit 0\n${script}`, 'guard', ...args], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const stdin = shell.stdin as Socket
  // A guard must not keep alive the process whose end it waits for.
  shell.unref()
  stdin.unref()
  stdin.on('error', () => {})
  shell.on('error', () => {})

  return {
    async dismiss() {
      if (shell.pid === undefined || shell.exitCode !== null || shell.signalCode !== null) return
      shell.ref()
      const exit = once(shell, 'exit')
      stdin.end('\n')
      await exit
    },
  }
}

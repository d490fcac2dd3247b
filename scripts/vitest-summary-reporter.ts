import type { Reporter, TestModule } from 'vitest/node';

/**
 * Prints `N passed, N failed` (and `, N skipped` when any) as the very last line of a run, so that a person and a script read the
 * same thing. A file that cannot be loaded, a hook that fails and an error outside every test count as one failure each: a run
 * that went wrong never says `0 failed`.
 */
export class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[], reason: string): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
    const brokenSuites = modules
      .flatMap((module) => [module, ...module.children.allSuites()])
      .filter((suite) => suite.errors().length > 0);
    const failed = count('failed') + brokenSuites.length + unhandledErrors.length;
    const skipped = count('skipped');
    const unfinished = reason === 'interrupted' ? count('pending') : 0;
    const parts = [`${count('passed')} passed`, `${failed} failed`];
    if (skipped > 0) parts.push(`${skipped} skipped`);
    if (unfinished > 0) parts.push(`${unfinished} not run`);
    // Other reporters and the global tear-down still print; nothing prints after the exit handlers.
    process.once('exit', () => {
      process.stdout.write(`${parts.join(', ')}\n`);
    });
  }
}

/** The part of cli-progress 3.12 that is used here; the package brings no types. */
declare module 'cli-progress' {
  export class SingleBar {
    constructor(options: {
      readonly format: string;
      readonly barsize?: number;
      readonly hideCursor?: boolean;
      readonly clearOnComplete?: boolean;
      readonly linewrap?: boolean;
      readonly stream?: NodeJS.WritableStream;
    });
    start(total: number, startValue: number, payload?: Readonly<Record<string, unknown>>): void;
    setTotal(total: number): void;
    update(value: number, payload?: Readonly<Record<string, unknown>>): void;
    stop(): void;
  }
}

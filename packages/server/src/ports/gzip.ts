/** Compresses a response body as it is sent. Level 1 where the platform lets one choose: speed matters more than the last bytes. */
export type Gzip = (body: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>;

/** What every platform with Web streams has. */
export const webGzip: Gzip = (body) =>
  body
    .pipeThrough(
      new TransformStream<Uint8Array, BufferSource>({
        transform: (chunk, controller) => controller.enqueue(isUnshared(chunk) ? chunk : new Uint8Array(chunk)),
      }),
    )
    .pipeThrough(new CompressionStream('gzip'));

/** Streams of the platform refuse views of shared memory, which no driver of ours hands out. */
function isUnshared(chunk: Uint8Array): chunk is Uint8Array<ArrayBuffer> {
  return chunk.buffer instanceof ArrayBuffer;
}


// Ours, behind the generated bindings: what the bridge does, with bytes and text, for the boot script.
{
  const [evaluate, room, settle, passRead, passWrite] = RAW;
  const encoder = new TextEncoder(), decoder = new TextDecoder(), BUFFER_BYTES = 65536;
  // One buffer for all that is read and written, and before it a vector of one piece and the answer.
  const pieces = $realloc(0, 0, 8, 16), buffer = $realloc(0, 0, 8, BUFFER_BYTES);
  // What the engine says is kept beside it.
  const kept = $realloc(0, 0, 8, BUFFER_BYTES);
  const copied = bytes => {
    const at = $realloc(0, 0, 1, bytes.length || 1);
    new Uint8Array($memory.buffer, at, bytes.length).set(bytes);
    return at;
  };
  const words = (...numbers) => copied(new Uint8Array(new Uint32Array(numbers).buffer));
  const pass = (how, fd, bytes) => {
    const view = new DataView($memory.buffer);
    view.setUint32(pieces, buffer, true);
    view.setUint32(pieces + 4, bytes, true);
    return how(fd, pieces, 1, pieces + 8) ? -1 : new DataView($memory.buffer).getUint32(pieces + 8, true);
  };
  defineBuiltinModule('ringfence:javascript-web/driver', {
    // Runs a program until there is nothing left to do. -> whether it went well
    evaluate(name, text) {
      const bytes = encoder.encode(name);
      // A SourceText that is borrowed, and a string_view.
      const source = words(copied(text), text.length, 0), path = words(copied(bytes), bytes.length);
      return Boolean(evaluate(ENGINE_AT, source, path, kept, BUFFER_BYTES));
    },
    // What the engine had to say meanwhile.
    said() {
      return decoder.decode(new Uint8Array($memory.buffer.slice(kept, kept + BUFFER_BYTES - room())));
    },
    settle(code, text) {
      const bytes = encoder.encode(text);
      settle(code, copied(bytes), bytes.length);
    },
    read(most) {
      const count = pass(passRead, 0, Math.min(most, BUFFER_BYTES));
      return new Uint8Array($memory.buffer.slice(buffer, buffer + Math.max(count, 0)));
    },
    write(fd, bytes) {
      for (let at = 0; at < bytes.length;) {
        const piece = bytes.subarray(at, at + BUFFER_BYTES);
        new Uint8Array($memory.buffer, buffer, piece.length).set(piece);
        const written = pass(passWrite, fd, piece.length);
        if (written <= 0) return;
        at += written;
      }
    },
  });
}

// Small parts of the web's interfaces that the engine does not have.
function asBytes(value) {
  if (value === undefined) return new Uint8Array();
  return value instanceof ArrayBuffer ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

define('TextEncoder', class TextEncoder {
  get encoding() { return 'utf-8'; }
  encode(text = '') { return native.textToBytes(String(text)); }
  encodeInto(text, target) {
    let read = 0, written = 0;
    for (const char of String(text)) {
      const bytes = native.textToBytes(char);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      written += bytes.length;
      read += char.length;
    }
    return { read, written };
  }
});

define('TextDecoder', class TextDecoder {
  constructor(label = 'utf-8', options = {}) {
    if (!/^\s*utf-?8\s*$/i.test(label)) throw new RangeError(`The "${label}" encoding is not supported`);
    this.fatal = Boolean(options.fatal);
    this.ignoreBOM = Boolean(options.ignoreBOM);
  }
  get encoding() { return 'utf-8'; }
  decode(value) {
    const bytes = asBytes(value), text = native.bytesToText(bytes);
    if (this.fatal && text.includes('\ufffd')) {
      const again = native.textToBytes(text);
      if (again.length !== bytes.length || again.some((byte, i) => byte !== bytes[i])) throw new TypeError('The encoded data was not valid utf-8');
    }
    return !this.ignoreBOM && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  }
});

define('crypto', {
  getRandomValues(array) {
    asBytes(array).set(native.randomBytes(array.byteLength));
    return array;
  },
  randomUUID() {
    const bytes = native.randomBytes(16);
    bytes[6] = bytes[6] & 15 | 64;
    bytes[8] = bytes[8] & 63 | 128;
    const hex = Array.from(bytes, byte => HEX[byte]).join('');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  },
});

if (!globalThis.structuredClone) define('structuredClone', value => {
  const bytes = bjson.write(value, bjson.WRITE_OBJ_REFERENCE);
  return bjson.read(bytes, 0, bytes.byteLength, bjson.READ_OBJ_REFERENCE);
});

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
if (!globalThis.btoa) define('btoa', text => {
  text = String(text);
  let out = '';
  for (let i = 0; i < text.length; i += 3) {
    const [a, b, c] = [text.charCodeAt(i), text.charCodeAt(i + 1), text.charCodeAt(i + 2)];
    if (a > 255 || b > 255 || c > 255) throw new DOMException('a character is out of range', 'InvalidCharacterError');
    out += BASE64[a >> 2] + BASE64[(a & 3) << 4 | b >> 4];
    out += (i + 1 < text.length ? BASE64[(b & 15) << 2 | c >> 6] : '=') + (i + 2 < text.length ? BASE64[c & 63] : '=');
  }
  return out;
});
if (!globalThis.atob) define('atob', text => {
  text = String(text).replace(/[\t\n\f\r ]/g, '');
  if (text.length % 4 === 0) text = text.replace(/={1,2}$/, '');
  let out = '', bits = 0, count = 0;
  for (const char of text) {
    const value = BASE64.indexOf(char);
    if (value < 0 || text.length % 4 === 1) throw new DOMException('not correctly encoded', 'InvalidCharacterError');
    bits = (bits << 6 | value) & 0xffffff;
    if (count++ % 4) out += String.fromCharCode(255 & bits >> (-2 * count & 6));
  }
  return out;
});

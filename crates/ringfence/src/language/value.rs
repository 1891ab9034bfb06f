//! Values that cross between a guest's language and its host: CBOR, and as much of it as the guest ABI says.

/// Deepest nesting of lists, maps and tags.
pub const MAX_DEPTH: u32 = 100;

/// Longest whole number beyond 64 bits, in bytes.
pub const MAX_NUMBER_BYTES: usize = 4096;

/// What the host counts for an item beside its own bytes: about what an object of Python takes.
pub const ITEM_BYTES: u64 = 64;

/// One item: a plain value, or the beginning of a list or map, whose items follow.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Item<'a> {
    Null,
    Bool(bool),
    /// A whole number of 64 bits and a sign: this, or where negative this below -1.
    Whole {
        negative: bool,
        number: u64,
    },
    /// A larger one, the most significant byte first.
    Large {
        negative: bool,
        bytes: &'a [u8],
    },
    Float(f64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// So many items.
    List(usize),
    /// So many keys, each with its value behind it.
    Map(usize),
}

/// The bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads items one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next item. There are at least as many bytes left as a list or map says that it has items.
    pub fn item(&mut self) -> Result<Item<'a>, Malformed> {
        let (major, minor) = self.head()?;
        Ok(match major {
            0 | 1 => Item::Whole { negative: major == 1, number: self.number(minor)? },
            2 => Item::Bytes(self.bytes(minor)?),
            3 => Item::Text(std::str::from_utf8(self.bytes(minor)?).map_err(|_| Malformed)?),
            4 => Item::List(self.count(minor, 1)?),
            5 => Item::Map(self.count(minor, 2)?),
            6 => self.large(minor)?,
            _ => match minor {
                20 | 21 => Item::Bool(minor == 21),
                22 => Item::Null,
                27 => Item::Float(f64::from_be_bytes(self.array()?)),
                _ => return Err(Malformed),
            },
        })
    }

    fn head(&mut self) -> Result<(u8, u8), Malformed> {
        let [head] = self.array()?;
        Ok((head >> 5, head & 31))
    }

    fn large(&mut self, tag: u8) -> Result<Item<'a>, Malformed> {
        let negative = match tag {
            2 => false,
            3 => true,
            _ => return Err(Malformed),
        };
        let (2, minor) = self.head()? else { return Err(Malformed) };
        let bytes = self.bytes(minor)?;
        if bytes.len() > MAX_NUMBER_BYTES {
            return Err(Malformed);
        }
        Ok(Item::Large { negative, bytes })
    }

    fn number(&mut self, minor: u8) -> Result<u64, Malformed> {
        Ok(match minor {
            0..24 => minor.into(),
            24 => u8::from_be_bytes(self.array()?).into(),
            25 => u16::from_be_bytes(self.array()?).into(),
            26 => u32::from_be_bytes(self.array()?).into(),
            27 => u64::from_be_bytes(self.array()?),
            _ => return Err(Malformed),
        })
    }

    fn count(&mut self, minor: u8, items: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number(minor)?).map_err(|_| Malformed)?;
        let least = count.checked_mul(items).ok_or(Malformed)?;
        if least > self.0.len() { Err(Malformed) } else { Ok(count) }
    }

    fn bytes(&mut self, minor: u8) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.number(minor)?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }
}

/// Checks that the bytes are one value and nothing more, and gives what it costs the host to take it.
pub fn cost(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut items = 0_u64;
    // For every list and map that is open: items that are missing, and whether every other one is a key.
    let mut open: Vec<(usize, bool)> = Vec::new();
    loop {
        let is_key = open.last().is_some_and(|(left, map)| *map && left % 2 == 0);
        let item = reader.item()?;
        items += 1;
        if let Some((left, _)) = open.last_mut() {
            *left -= 1;
        }
        let inner = match item {
            Item::Text(_) | Item::Whole { .. } if is_key => None,
            _ if is_key => return Err(Malformed),
            Item::List(count) => Some((count, false)),
            Item::Map(count) => Some((2 * count, true)),
            Item::Large { .. } if open.len() as u32 >= MAX_DEPTH => return Err(Malformed),
            _ => None,
        };
        if let Some(inner) = inner {
            open.push(inner);
            if open.len() as u32 > MAX_DEPTH {
                return Err(Malformed);
            }
        }
        while open.last().is_some_and(|(left, _)| *left == 0) {
            open.pop();
        }
        if open.is_empty() {
            break;
        }
    }
    if !reader.rest().is_empty() {
        return Err(Malformed);
    }
    Ok((bytes.len() as u64).saturating_add(items * ITEM_BYTES))
}

/// Writes items one after the other.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How much was written, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes one item.
    pub fn item(&mut self, item: Item<'_>) {
        match item {
            Item::Null => self.0.push(0xf6),
            Item::Bool(is) => self.0.push(0xf4 + u8::from(is)),
            Item::Whole { negative, number } => self.head(u8::from(negative), number),
            Item::Large { negative, bytes } => {
                self.0.push(0xc2 + u8::from(negative));
                self.bytes(2, bytes);
            }
            Item::Float(number) => {
                self.0.push(0xfb);
                self.0.extend(number.to_be_bytes());
            }
            Item::Bytes(bytes) => self.bytes(2, bytes),
            Item::Text(text) => self.bytes(3, text.as_bytes()),
            Item::List(count) => self.head(4, count as u64),
            Item::Map(count) => self.head(5, count as u64),
        }
    }

    fn bytes(&mut self, major: u8, bytes: &[u8]) {
        self.head(major, bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn head(&mut self, major: u8, number: u64) {
        let major = major << 5;
        match number {
            0..24 => self.0.push(major | number as u8),
            24..0x100 => self.0.extend([major | 24, number as u8]),
            0x100..0x1_0000 => {
                self.0.push(major | 25);
                self.0.extend((number as u16).to_be_bytes());
            }
            0x1_0000..0x1_0000_0000 => {
                self.0.push(major | 26);
                self.0.extend((number as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend(number.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;

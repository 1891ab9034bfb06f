//! Arguments, variables, clocks, random numbers.

use super::{Call, Done, Errno};

/// Most random bytes drawn between two looks at the clock.
const RANDOM_STEP: usize = 1 << 20;

impl Call<'_> {
    pub(super) fn args_get(&mut self, argv: u32, buffer: u32) -> Done {
        let texts = std::mem::take(&mut self.state.args);
        let done = self.write_texts(&texts, argv, buffer);
        self.state.args = texts;
        done
    }

    pub(super) fn args_sizes_get(&mut self, count: u32, bytes: u32) -> Done {
        let sizes = sizes(&self.state.args)?;
        self.write_sizes(sizes, count, bytes)
    }

    pub(super) fn environ_get(&mut self, environ: u32, buffer: u32) -> Done {
        let texts = self.state.env.clone();
        self.write_texts(&texts, environ, buffer)
    }

    pub(super) fn environ_sizes_get(&mut self, count: u32, bytes: u32) -> Done {
        let sizes = sizes(&self.state.env)?;
        self.write_sizes(sizes, count, bytes)
    }

    fn write_sizes(&mut self, (number, size): (u32, u32), count: u32, bytes: u32) -> Done {
        self.memory.write_u32(count, number)?;
        self.memory.write_u32(bytes, size)?;
        Ok(())
    }

    fn write_texts(&mut self, texts: &[Vec<u8>], mut pointers: u32, mut buffer: u32) -> Done {
        for text in texts {
            self.memory.write_u32(pointers, buffer)?;
            self.memory.write(buffer, text)?;
            let len = u32::try_from(text.len()).map_err(|_| Errno::Overflow)?;
            pointers = pointers.checked_add(4).ok_or(Errno::Fault)?;
            buffer = buffer.checked_add(len).ok_or(Errno::Fault)?;
        }
        Ok(())
    }

    pub(super) fn clock_res_get(&mut self, id: u32, result: u32) -> Done {
        check_clock(id)?;
        self.memory.write_u64(result, self.state.clock.resolution())?;
        Ok(())
    }

    pub(super) fn clock_time_get(&mut self, id: u32, result: u32) -> Done {
        check_clock(id)?;
        let now = if id == REALTIME { self.state.clock.wall() } else { self.state.clock.monotonic() };
        self.memory.write_u64(result, now)?;
        Ok(())
    }

    pub(super) fn random_get(&mut self, buffer: u32, len: u32) -> Done {
        let bytes = self.memory.bytes_mut(buffer, len)?;
        for piece in bytes.chunks_mut(RANDOM_STEP) {
            self.state.random.fill(piece).map_err(|_| Errno::Io)?;
            self.state.control.check()?;
        }
        Ok(())
    }
}

/// The clock of the calendar; the others all tell the time since the run started.
pub(super) const REALTIME: u32 = 0;

/// Realtime, monotonic, process and thread time.
pub(super) fn check_clock(id: u32) -> Result<(), Errno> {
    if id <= 3 { Ok(()) } else { Err(Errno::Inval) }
}

fn sizes(texts: &[Vec<u8>]) -> Result<(u32, u32), Errno> {
    let bytes: usize = texts.iter().map(Vec::len).sum();
    Ok((u32::try_from(texts.len()).map_err(|_| Errno::Overflow)?, u32::try_from(bytes).map_err(|_| Errno::Overflow)?))
}

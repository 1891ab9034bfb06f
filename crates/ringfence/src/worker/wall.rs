//! Until the wall is built there is none, and who asks for it is refused.
use crate::error::{Error, Result};
pub struct Wall;
impl Wall {
    pub fn supported() -> Result<()> {
        Err(Error::host("no second wall", "it is not built yet", "use `isolation=\"process\"`"))
    }
}

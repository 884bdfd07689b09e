//! The address a probe asks: `http://HOST[:PORT][/PATH][?QUERY]`.
//!
//! A target is put into the host and nowhere else, so that no name can change which path is asked.

use crate::target::Target;

/// An address with its placeholders still in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    host: String,
    port: Port,
    path: String,
}

/// Where a probe connects and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The path and the query, beginning with a slash.
    pub path: String,
}

impl UrlTemplate {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("http://")
            .ok_or("expected an address that starts with http://")?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['#', '\\', '@']) {
            return Err("an address has no spaces, no #, \\ or @, and is ASCII".to_owned());
        }
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let (host, port) = split(authority)?;
        if path.contains("{target}") || path.contains("{port}") {
            return Err("{target} and {port} stand only before the path".to_owned());
        }
        let fixed = host.replace("{target}", "");
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !fixed.bytes().all(is_name) {
            return Err(format!(
                "\"{host}\" is no host; only {{target}} is replaced in it"
            ));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            path: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        })
    }

    /// Whether it has `{port}` in it.
    pub fn needs_port(&self) -> bool {
        self.port == Port::OfTarget
    }

    /// Puts a target in; `None` when a port is asked for and the target has none.
    pub fn endpoint(&self, target: &Target, port: Option<u16>) -> Option<Endpoint> {
        Some(Endpoint {
            host: self.host.replace("{target}", target.as_str()),
            port: match self.port {
                Port::Fixed(port) => port,
                Port::OfTarget => port?,
            },
            path: self.path.clone(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Fixed(u16),
    OfTarget,
}

fn split(authority: &str) -> Result<(&str, Port), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or("the ] of the address is missing")?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None => Port::Fixed(80),
        Some("{port}") => Port::OfTarget,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(format!("\"{port}\" is no port")),
            Ok(port) => Port::Fixed(port),
        },
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests;

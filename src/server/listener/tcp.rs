//! TCP sockets that listen: the first of an address, and further ones beside it.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Listens on an address where no other socket listens. Port 0 takes a free port.
///
/// Never with `SO_REUSEPORT`, which would let a second server of the same user join unnoticed.
pub(super) fn open(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = new(address)?;
    listen(&socket, address, backlog)?;
    Ok(socket)
}

/// Opens sockets beside the first until there are `count`. The kernel then distributes new
/// connections by a hash of their addresses (`SO_REUSEPORT`, socket(7)).
///
/// The first gets the option only after it listens, which Linux allows. It was alone when it began
/// to listen, so no other server can have joined.
pub(super) fn widen(sockets: &mut Vec<Socket>, count: usize, backlog: i32) -> io::Result<()> {
    if sockets.len() >= count {
        return Ok(());
    }
    let Some(address) = address_of(&sockets[0])? else { return Ok(()) };
    for socket in &*sockets {
        socket.set_reuse_port(true)?;
    }
    while sockets.len() < count {
        let socket = new(address)?;
        socket.set_reuse_port(true)?;
        listen(&socket, address, backlog)?;
        sockets.push(socket);
    }
    Ok(())
}

/// The address of a socket, `None` if it is not an internet socket.
pub(super) fn address_of(socket: &Socket) -> io::Result<Option<SocketAddr>> {
    Ok(socket.local_addr()?.as_socket())
}

/// Sets the options that accepted sockets inherit from the listening one.
pub(super) fn set_inherited_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)
}

fn new(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Without this, connections of a stopped server keep the address for a minute.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    set_inherited_options(&socket)?;
    Ok(socket)
}

fn listen(socket: &Socket, address: SocketAddr, backlog: i32) -> io::Result<()> {
    socket.bind(&address.into())?;
    socket.listen(backlog)
}

#!/bin/sh
# Gives evshard a certificate that certbot has renewed. Install it as an executable file in
# /etc/letsencrypt/renewal-hooks/deploy/. certbot sets RENEWED_LINEAGE, the folder of the certificate.
#
# EVSHARD_PEM     the file of tls-cert, in a folder that exists
# EVSHARD_GROUP   the group that may read it
# EVSHARD_RELOAD  the command that makes the server read it
set -eu

pem=${EVSHARD_PEM:-/etc/evshard/tls/server.pem}
group=${EVSHARD_GROUP:-evshard-tls}
reload=${EVSHARD_RELOAD:-systemctl reload evshard}

# Certificate and key are in one file, and the file is replaced in one step. So the server never reads
# the new one of the two with the old other one.
umask 077
cat "$RENEWED_LINEAGE/fullchain.pem" "$RENEWED_LINEAGE/privkey.pem" >"$pem.new"
chgrp "$group" "$pem.new"
chmod 0640 "$pem.new"
mv "$pem.new" "$pem"
# It fails, and certbot reports it, if the server cannot use the file. The server then keeps the old one.
# shellcheck disable=SC2086 # it may have arguments
exec $reload

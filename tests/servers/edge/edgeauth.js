// Verifies EdgeAuth tokens of one URL in nginx (njs), as the edges of Akamai and of NHN Cloud CDN do. Each answers ""
// where the token is good, else why not.
const crypto = require('crypto');
const KEY = Buffer.from(process.env.EDGE_KEY_HEX, 'hex');

function hex(letter) {
    return '%' + letter.charCodeAt(0).toString(16);
}

function lowered(escaped) {
    return escaped.replace(/%20/g, '+').replace(/%../g, (found) => found.toLowerCase());
}

function likeJava(text) {
    return lowered(encodeURIComponent(text).replace(/[!'()~]/g, hex));
}

function likePython(text) {
    return lowered(encodeURIComponent(text).replace(/[!'()*]/g, hex));
}

function refused(token, path) {
    if (!token) return 'no token';
    const found = /^exp=([0-9]+)~hmac=([0-9a-f]{64})$/.exec(token);
    if (!found) return 'no such token is made';
    const hmac = crypto.createHmac('sha256', KEY).update('exp=' + found[1] + '~url=' + path).digest('hex');
    if (hmac !== found[2]) return 'other path or altered';
    return Math.floor(Date.now() / 1000) >= Number(found[1]) ? 'over' : '';
}

function nhn(r) {
    return refused(r.variables.arg_token, likeJava(r.uri));
}

function akamai(r) {
    return refused(r.variables.arg___token__, likePython(r.uri));
}

export default { nhn, akamai };

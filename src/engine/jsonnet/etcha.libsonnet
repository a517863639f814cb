// What this engine lays over the standard library. `std` in this file is the plain one. Native functions of the engine
// have no optional parameters, so they get them here; the names that Etcha documents and this engine does not have say
// why.

local functions = {
  getArch():: std.native('getArch')(),
  getConfig():: std.native('getConfig')(),
  getEnv(key, fallback=null, cache=false):: std.native('getEnv')(key, fallback),
  getFile(path, fallback=null, cache=false):: std.native('getFile')(path, fallback),
  getOS():: std.native('getOS')(),
  getPath():: std.native('getPath')(),
  randStr(length, cache=false):: std.native('randStr')(length),
  regexMatch(regex, string):: std.native('regexMatch')(regex, string),
  render(string):: std.native('render')(string),
};

local absent = {
  get: 'it needs jq; use `std.get`',
  getCmd: 'rendering starts no program; let a check run it, whose `envPrefix` hands its output to later commands',
  getRecord: 'rendering asks no name server; let a check run `getent` or `dig`, whose `envPrefix` hands its output to later commands',
};

{
  native(name)::
    if std.objectHasAll(functions, name) then functions[name]
    else if std.objectHas(absent, name) then error 'the native function `%s` is not there: %s' % [name, absent[name]]
    else error 'there is no native function `%s`; there are %s' % [name, std.join(', ', std.objectFieldsAll(functions))],

  // Of text, its UTF-8 is meant.
  base64(input):: std.base64(if std.isString(input) then std.encodeUTF8(input) else input),
  base64Decode(str):: std.decodeUTF8(std.base64DecodeBytes(str)),
}

;; A plugin of docket:processor@0.1.0 that calls every function of it. It is kept as it is for as long as
;; Docket serves that version, and `tests/sandbox/interface.rs` runs it.
;;
;; Its action `copy` is given one document of five bytes. It says what it sees, copies the document,
;; sends a GET as the account and two more side by side, and returns the copy's digest and the statuses.
(module
  (import "docket:processor/documents@0.1.0" "[method]document.name" (func $name (param i32 i32)))
  (import "docket:processor/documents@0.1.0" "[method]document.media-type" (func $media-type (param i32 i32)))
  (import "docket:processor/documents@0.1.0" "[method]document.size" (func $size (param i32) (result i64)))
  (import "docket:processor/documents@0.1.0" "[method]document.digest" (func $digest (param i32 i32)))
  (import "docket:processor/documents@0.1.0" "[method]document.read" (func $read (param i32 i64 i32 i32)))
  (import "docket:processor/documents@0.1.0" "[method]store.create" (func $create (param i32 i32 i32 i32 i32 i32)))
  (import "docket:processor/documents@0.1.0" "[method]writer.write" (func $write (param i32 i32 i32 i32)))
  (import "docket:processor/documents@0.1.0" "[static]writer.finish" (func $finish (param i32 i32)))
  (import "docket:processor/documents@0.1.0" "[resource-drop]document" (func $drop-document (param i32)))
  (import "docket:processor/documents@0.1.0" "[resource-drop]store" (func $drop-store (param i32)))
  (import "docket:processor/documents@0.1.0" "[resource-drop]writer" (func $drop-writer (param i32)))
  (import "docket:processor/http@0.1.0" "[method]client.send" (func $send (param i32 i32)))
  (import "docket:processor/http@0.1.0" "[method]client.send-all" (func $send-all (param i32 i32 i32 i32)))
  (import "docket:processor/http@0.1.0" "[resource-drop]client" (func $drop-client (param i32)))
  (import "docket:processor/http@0.1.0" "[resource-drop]token" (func $drop-token (param i32)))
  (import "docket:processor/reporting@0.1.0" "[method]reporter.log" (func $log (param i32 i32 i32 i32)))
  (import "docket:processor/reporting@0.1.0" "[method]reporter.progress" (func $progress (param i32 i64 i32 i64 i32 i32)))
  (import "docket:processor/reporting@0.1.0" "[method]reporter.panicked" (func $panicked (param i32 i32 i32)))
  (import "docket:processor/reporting@0.1.0" "[resource-drop]reporter" (func $drop-reporter (param i32)))

  (memory (export "memory") 2)
  (global $top (mut i32) (i32.const 65536))

  ;; Texts.
  (data (i32.const 1024) "kept-0-1-0")
  (data (i32.const 1040) "1.0.0")
  (data (i32.const 1056) "Kept.")
  (data (i32.const 1072) "copy")
  (data (i32.const 1088) "true")
  (data (i32.const 1104) "GET")
  (data (i32.const 1120) "https://a.example/**")
  (data (i32.const 1152) "copy.txt")
  (data (i32.const 1168) "text/plain")
  (data (i32.const 1184) "https://a.example/one")
  (data (i32.const 1216) "https://a.example/two")
  (data (i32.const 1248) "halves")
  ;; The output: the digest goes from 2058 on, the statuses from 2144, 2148 and 2152 on.
  (data (i32.const 2048) "{\22copy\22:\22                                                                       \22,\22s\22:[   ,   ,   ]}")

  ;; The manifest at 3072, its action at 3104, the action's request at 3168, its scope at 3192, and an
  ;; example at 3248.
  (data (i32.const 3072)
    "\00\04\00\00\0a\00\00\00\10\04\00\00\05\00\00\00\20\04\00\00\05\00\00\00\20\0c\00\00\01\00\00\00")
  (data (i32.const 3104)
    "\30\04\00\00\04\00\00\00\00\00\00\00\20\04\00\00\05\00\00\00\40\04\00\00\04\00\00\00\40\04\00\00\04\00\00\00"
    "\60\0c\00\00\01\00\00\00\78\0c\00\00\01\00\00\00\b0\0c\00\00\01\00\00\00")
  (data (i32.const 3168)
    "\50\04\00\00\03\00\00\00\60\04\00\00\14\00\00\00\20\04\00\00\05\00\00\00")
  ;; A scope: name, no shared one, no application's, reason.
  (data (i32.const 3192)
    "\30\04\00\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\20\04\00\00\05\00\00\00")
  ;; An example: title, and `true` as the input.
  (data (i32.const 3248)
    "\30\04\00\00\04\00\00\00\40\04\00\00\04\00\00\00")

  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  ;; A GET at an address: method, URL, and to be received inline, 1,024 bytes at most.
  (func $request (param $at i32) (param $url i32)
    (i32.store (local.get $at) (i32.const 1104))
    (i32.store offset=4 (local.get $at) (i32.const 3))
    (i32.store offset=8 (local.get $at) (local.get $url))
    (i32.store offset=12 (local.get $at) (i32.const 21))
    (i32.store offset=64 (local.get $at) (i32.const 1024)))

  ;; Writes a status of three digits.
  (func $digits (param $at i32) (param $status i32)
    (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.div_u (local.get $status) (i32.const 100))))
    (i32.store8 offset=1 (local.get $at)
      (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $status) (i32.const 10)) (i32.const 10))))
    (i32.store8 offset=2 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $status) (i32.const 10)))))

  (func (export "docket:processor/actions@0.1.0#describe") (result i32) (i32.const 3072))

  (func (export "docket:processor/actions@0.1.0#run") (param $call i32) (result i32)
    (local $document i32) (local $reporter i32) (local $writer i32) (local $client i32) (local $list i32)
    (local.set $document (i32.load (i32.load offset=16 (local.get $call))))
    (local.set $client (i32.load offset=28 (local.get $call)))
    (local.set $reporter (i32.load offset=100 (local.get $call)))

    ;; What the document is called and holds, into the log.
    (call $name (local.get $document) (i32.const 256))
    (call $log (local.get $reporter) (i32.const 1) (i32.load (i32.const 256)) (i32.load (i32.const 260)))
    (call $media-type (local.get $document) (i32.const 256))
    (call $log (local.get $reporter) (i32.const 2) (i32.load (i32.const 256)) (i32.load (i32.const 260)))
    (if (i64.ne (call $size (local.get $document)) (i64.const 5)) (then unreachable))
    (call $read (local.get $document) (i64.const 0) (i32.const 100) (i32.const 256))
    (call $log (local.get $reporter) (i32.const 0) (i32.load (i32.const 256)) (i32.load (i32.const 260)))
    (call $progress (local.get $reporter) (i64.const 1) (i32.const 1) (i64.const 2) (i32.const 1248) (i32.const 6))

    ;; A copy of it, whose digest goes into the output.
    (call $create (i32.load offset=24 (local.get $call))
      (i32.const 1152) (i32.const 8) (i32.const 1168) (i32.const 10) (i32.const 272))
    (if (i32.load8_u (i32.const 272)) (then unreachable))
    (local.set $writer (i32.load offset=8 (i32.const 272)))
    (call $write (local.get $writer) (i32.load (i32.const 256)) (i32.load (i32.const 260)) (i32.const 288))
    (if (i32.load8_u (i32.const 288)) (then unreachable))
    (call $finish (local.get $writer) (i32.const 304))
    (if (i32.load8_u (i32.const 304)) (then unreachable))
    (call $digest (i32.load offset=8 (i32.const 304)) (i32.const 256))
    (memory.copy (i32.const 2057) (i32.load (i32.const 256)) (i32.const 71))
    (call $drop-document (i32.load offset=8 (i32.const 304)))

    ;; One request as the account: the client, the request from 8 on, the token at 40.
    (i32.store (i32.const 4096) (local.get $client))
    (call $request (i32.const 4104) (i32.const 1184))
    (i32.store8 (i32.const 4136) (i32.const 1))
    (i32.store (i32.const 4140) (i32.load offset=36 (local.get $call)))
    (call $send (i32.const 4096) (i32.const 320))
    (if (i32.load8_u (i32.const 320)) (then unreachable))
    (call $digits (i32.const 2135) (i32.load16_u (i32.const 328)))

    ;; Two side by side.
    (call $request (i32.const 4352) (i32.const 1184))
    (call $request (i32.const 4464) (i32.const 1216))
    (call $send-all (local.get $client) (i32.const 4352) (i32.const 2) (i32.const 384))
    (local.set $list (i32.load (i32.const 384)))
    (if (i32.load8_u (local.get $list)) (then unreachable))
    (call $digits (i32.const 2139) (i32.load16_u offset=8 (local.get $list)))
    (if (i32.load8_u offset=32 (local.get $list)) (then unreachable))
    (call $digits (i32.const 2143) (i32.load16_u offset=40 (local.get $list)))

    ;; Everything is given back but the call's own token, which is dropped last.
    (call $drop-document (local.get $document))
    (call $drop-store (i32.load offset=24 (local.get $call)))
    (call $drop-client (local.get $client))
    (call $drop-token (i32.load offset=36 (local.get $call)))
    (call $drop-reporter (local.get $reporter))

    ;; ok({json, no cursor})
    (i32.store (i32.const 512) (i32.const 0))
    (i32.store (i32.const 520) (i32.const 2048))
    (i32.store (i32.const 524) (i32.const 100))
    (i32.store (i32.const 528) (i32.const 0))
    (i32.const 512))

  ;; Never called: so that their imports are kept.
  (func $never
    (call $panicked (i32.const 0) (i32.const 0) (i32.const 0))
    (call $drop-writer (i32.const 0))))

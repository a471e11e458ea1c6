; What extract.py reads from Ruby. ADDING_A_LANGUAGE.md explains the captures.

(class name: (_) @name) @definition.class
(module name: (_) @name) @definition.class
(method name: (_) @name) @definition.function
(singleton_method name: (_) @name) @definition.method
(assignment left: (constant) @name
  right: (call receiver: (constant) @_receiver block: (_) @body)
  (#match? @_receiver "^(Struct|Class|Module|Data)$")) @definition.class
; A comment below the first line stands before the body and is not part of the signature.
(class name: (_) @name (comment) @body) @definition.class
(module name: (_) @name (comment) @body) @definition.class
(method name: (_) @name (comment) @body) @definition.function
(singleton_method name: (_) @name (comment) @body) @definition.method

(program (assignment left: (constant) @name) @definition.variable)
(body_statement (assignment left: (constant) @name) @definition.variable)

(call method: (identifier) @reference)
(call method: (constant) @reference)
(constant) @reference

(call method: (identifier) @_require
  arguments: (argument_list . (string (string_content) @import.module) .)
  (#eq? @_require "require")) @import
(call method: (identifier) @_require
  arguments: (argument_list . (string (string_content) @import.relative) .)
  (#eq? @_require "require_relative")) @import
(call method: (identifier) @_autoload
  arguments: (argument_list (simple_symbol) . (string (string_content) @import.module) .)
  (#eq? @_autoload "autoload")) @import

(comment) @text
(string) @text
(heredoc_body) @text

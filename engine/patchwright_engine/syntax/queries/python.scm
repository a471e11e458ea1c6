; What parse.py reads from Python. Captures: definition.class, definition.function, definition.variable
; (the name), reference (the last component of a used name), import (the whole statement), text (comments and strings).

(class_definition) @definition.class

(function_definition) @definition.function

(module (expression_statement (assignment left: (identifier) @definition.variable)))

(call function: (identifier) @reference)
(call function: (attribute attribute: (identifier) @reference))

(class_definition superclasses: (argument_list (identifier) @reference))
(class_definition superclasses: (argument_list (attribute attribute: (identifier) @reference)))

(decorator (identifier) @reference)
(decorator (attribute attribute: (identifier) @reference))

(type (identifier) @reference)
(type (attribute attribute: (identifier) @reference))

(except_clause (identifier) @reference)
(except_clause (as_pattern (identifier) @reference))

(import_statement) @import
(import_from_statement) @import

(comment) @text
(string) @text

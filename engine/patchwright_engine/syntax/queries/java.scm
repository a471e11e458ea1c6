; What extract.py reads from Java. ADDING_A_LANGUAGE.md explains the captures.

(class_declaration name: (identifier) @name) @definition.class
(interface_declaration name: (identifier) @name) @definition.class
(enum_declaration name: (identifier) @name) @definition.class
(record_declaration name: (identifier) @name) @definition.class
(annotation_type_declaration name: (identifier) @name) @definition.class
(method_declaration name: (identifier) @name) @definition.method
(constructor_declaration name: (identifier) @name) @definition.method
(compact_constructor_declaration name: (identifier) @name) @definition.method
(enum_constant name: (identifier) @name body: (_)) @container.class
(field_declaration (modifiers "static") declarator: (variable_declarator name: (identifier) @name)) @definition.variable
(constant_declaration declarator: (variable_declarator name: (identifier) @name)) @definition.variable

(modifiers (marker_annotation) @leading)
(modifiers (annotation) @leading)

(method_invocation name: (identifier) @reference)
(method_invocation object: (identifier) @reference (#match? @reference "^[A-Z]"))
(method_reference (identifier) @reference .)
(marker_annotation name: (identifier) @reference)
(annotation name: (identifier) @reference)
(type_identifier) @reference

(import_declaration [(scoped_identifier) (identifier)] @import.module) @import
(import_declaration [(scoped_identifier) (identifier)] @import.module (asterisk) @import.name) @import

(line_comment) @text
(block_comment) @text
(string_literal) @text

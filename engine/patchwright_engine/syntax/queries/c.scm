; What C and C++ have in common. Prototypes are no definitions: the code is where the body is.

(function_definition declarator: [
  (function_declarator declarator: (identifier) @name)
  (pointer_declarator declarator: (function_declarator declarator: (identifier) @name))
  (pointer_declarator declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @name)))
  (function_declarator declarator: (parenthesized_declarator (pointer_declarator
    declarator: (function_declarator declarator: (identifier) @name))))]) @definition.function

(struct_specifier name: (type_identifier) @name body: (_)) @definition.class
(union_specifier name: (type_identifier) @name body: (_)) @definition.class
(enum_specifier name: (type_identifier) @name body: (_)) @definition.class
(type_definition type: (struct_specifier body: (_) @body) declarator: (type_identifier) @name) @definition.class
(type_definition type: (union_specifier body: (_) @body) declarator: (type_identifier) @name) @definition.class
(type_definition type: (enum_specifier body: (_) @body) declarator: (type_identifier) @name) @definition.class
(type_definition declarator: [
  (type_identifier) @name
  (pointer_declarator declarator: (type_identifier) @name)
  (function_declarator declarator: (parenthesized_declarator (pointer_declarator
    declarator: (type_identifier) @name)))]) @definition.class

; Macros that the grammar takes for something else: `struct EXPORT Point {`, `enum API Color {`, `LUA_API int (lua_type)
; (lua_State *L) {`, `int API(run)(int a) {`, `HANDLER(click) {` and `SYSCALL_DEFINE3(open, int, flags) {`.
(function_definition type: [(struct_specifier !body) (union_specifier !body)]
  declarator: (identifier) @name) @definition.class
(declaration type: (enum_specifier !body) declarator: (init_declarator
  declarator: (identifier) @name value: (initializer_list))) @definition.class
(function_definition declarator: (function_declarator declarator: (function_declarator
  parameters: (parameter_list . (parameter_declaration type: (type_identifier) @name !declarator) .)))
) @definition.function
(function_definition declarator: (function_declarator
  declarator: (parenthesized_declarator (identifier) @name))) @definition.function
(translation_unit (function_definition type: (type_identifier)
  declarator: (parenthesized_declarator (identifier) @name)) @definition.function)
(translation_unit (expression_statement (call_expression arguments: (argument_list . (identifier) @name)) (MISSING ";"))
  . (compound_statement) @body @definition.function)
(translation_unit (expression_statement (call_expression) (MISSING ";")) @leading . (compound_statement))

(preproc_def name: (identifier) @name) @definition.variable
(preproc_function_def name: (identifier) @name value: (_) @body) @definition.function
(translation_unit (declaration declarator: (init_declarator declarator: [
  (identifier) @name
  (array_declarator declarator: (identifier) @name)
  (pointer_declarator declarator: (identifier) @name)
  (pointer_declarator declarator: (array_declarator declarator: (identifier) @name))])) @definition.variable)
(translation_unit (declaration . type: (_) declarator: (identifier) @name) @definition.variable)
(translation_unit (declaration (storage_class_specifier "static") declarator: (identifier) @name) @definition.variable)

(call_expression function: (identifier) @reference)
(call_expression function: (field_expression field: (field_identifier) @reference))
(type_identifier) @reference

(preproc_include path: (string_literal (string_content) @import.module)) @import
(preproc_include path: (system_lib_string) @import.module) @import

(comment) @text
(string_literal) @text
